"""What a test of re-identification looks like, and what a search among a user's own pictures found."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blockyard import files
from blockyard.retrieval import Ranking
from blockyard.tasks.new_samples import table, table_at

RIGHT, WRONG = "#1a9850", "#d73027"
CURVE = 50
"""The CMC curve is drawn up to this rank."""


class RankedGallery(Callback):
    """Writes ``ranking.png`` and ``cmc.png`` at the end of a test.

    The first shows queries, half of them those with the lowest average precision and half drawn evenly from all, each
    with the nearest of the gallery: framed green if it is the same person, red and dashed if not. The task must hold a
    ``ranking``, as :class:`~blockyard.tasks.PersonReID` does; others are left alone.

    Args:
        directory: Where the pictures go.
        rows: Queries shown.
        columns: Of the gallery, so many for each.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path, rows: int = 10, columns: int = 10) -> None:
        self.directory = directory
        self.rows = rows
        self.columns = columns

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        task: Any = pl_module
        ranking: Ranking | None = getattr(task, "ranking", None)
        if ranking is None or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        split: Any = trainer.datamodule.split("test")  # type: ignore[attr-defined]
        files.write(self.directory / "cmc.png", draw_cmc(ranking))
        shown = [int(query) for query in chosen(ranking, self.rows)]
        found = [[int(place) for place in ranking.top[query, : self.columns] if place >= 0] for query in shown]
        rows = [
            (int(task.query[query]), [int(task.gallery[place]) for place in places], float(precision))
            for query, places, precision in zip(shown, found, ranking.average_precision[shown], strict=True)
        ]
        files.write(self.directory / "ranking.png", draw(split, rows, self.columns))


class RetrievalWriter(Callback):
    """Writes ``embeddings.npz`` and ``ranking.csv`` at the end of a prediction.

    The first holds ``names`` ``(n,)``, ``vectors`` ``(n, D)`` and the positions ``query`` and ``gallery`` in them; the
    second a line a query and rank: query, rank, name in the gallery, distance.

    Args:
        place: The folder that the files go to, or the table, ``.csv`` or ``.jsonl``, beside which the vectors go.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, place: Path) -> None:
        self.path = table_at(place, "ranking.csv")
        self.vectors = place / "embeddings.npz" if self.path != place else place.with_suffix(".npz")

    @property
    def results(self) -> list[Path]:
        """The files that it writes."""
        return [self.path, self.vectors]

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write."""
        task: Any = pl_module
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        names = np.array(trainer.datamodule.names("predict"))  # type: ignore[attr-defined]
        query, gallery = task.query.numpy(), task.gallery.numpy()
        file = io.BytesIO()
        vectors = task.features.cpu().numpy()
        np.savez(file, allow_pickle=False, names=names, vectors=vectors, query=query, gallery=gallery)
        files.write(self.vectors, file.getvalue())
        places, distances = (part.cpu().numpy() for part in task.found)
        rows = _rows(names[query], names[gallery], places, distances)
        files.write(self.path, table({"query": 0, "rank": 0, "found": 0, "distance": 6}, rows, self.path))
        print(f"{len(query)} queries among {len(gallery)} of the gallery: {self.path}")


def chosen(ranking: Ranking, rows: int) -> list[int]:
    """Queries to show, ascending by average precision: the worst ones, and others spread evenly over the rest."""
    valid = ranking.valid.nonzero().flatten()
    order = valid[ranking.average_precision[valid].argsort(stable=True)].tolist()
    worst, rest = order[: rows // 2], order[rows // 2 :]
    spread = np.linspace(0, len(rest) - 1, min(len(rest), rows - rows // 2)).round().astype(int)
    return worst + [rest[place] for place in spread]


@rc_context({"text.parse_math": False})  # names are no formulas
def draw(split: Any, rows: list[tuple[int, list[int], float]], columns: int) -> bytes:
    """A PNG with a row for each query: its position in the pool, those of what was found, its average precision."""
    figure = Figure(figsize=(1.1 * (columns + 1), 2.1 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns + 1, squeeze=False)
    for axes_of_row, (query, found, precision) in zip(grid, rows, strict=True):
        for axes in axes_of_row:
            axes.set_axis_off()
        _show(axes_of_row[0], split, query, f"AP {precision:.2f}", None)
        for axes, position in zip(axes_of_row[1:], found, strict=False):
            _show(axes, split, position, "", bool(split.identities[position] == split.identities[query]))
    return _png(figure)


@rc_context({"text.parse_math": False})  # names are no formulas
def draw_cmc(ranking: Ranking) -> bytes:
    """A PNG of the share of queries with a match among the k nearest, k up to :data:`CURVE`."""
    ranks = range(1, CURVE + 1)
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.step(ranks, [100 * ranking.cmc(k) for k in ranks], where="mid")
    axes.set(xlabel="rank k", ylabel="queries with a match among the k nearest, %", ylim=(0, 101), xlim=(1, CURVE))
    axes.set_title(f"mAP {100 * ranking.mAP:.1f} %, rank 1 {100 * ranking.cmc(1):.1f} %", size=10)
    axes.grid(alpha=0.3)
    return _png(figure)


def _show(axes: Axes, split: Any, position: int, title: str, right: bool | None) -> None:
    axes.set_axis_on()
    axes.imshow(split.picture(position))
    axes.set_title(title or split.seen_by(position), size=7)
    axes.set(xticks=[], yticks=[])
    # Not by colour alone: a wrong one is dashed.
    colour, style = ("black", "-") if right is None else (RIGHT, "-") if right else (WRONG, "--")
    for spine in axes.spines.values():
        spine.set(edgecolor=colour, linestyle=style, linewidth=1 if right is None else 3)


def _rows(
    queries: np.ndarray, gallery: np.ndarray, places: np.ndarray, distances: np.ndarray
) -> Iterator[tuple[str, int, str, float]]:
    for query, row, far in zip(queries, places.tolist(), distances.tolist(), strict=True):
        found = [(str(gallery[place]), distance) for place, distance in zip(row, far, strict=True) if place >= 0]
        for k, (name, distance) in enumerate(found, 1):
            yield str(query), k, name, distance


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
