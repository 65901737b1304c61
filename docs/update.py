"""Write the tables of the README and the pictures of the docs from what is committed; ``make docs`` runs it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import measured
import objective_tables
import picture_tables
import pruning_tables
import search_tables
from boards import STUDIES
from lightning.pytorch import Trainer
from matplotlib.figure import Figure

from blockyard.commands.catalogue import entries, published
from blockyard.commands.catalogue import markdown as catalogue
from blockyard.composing.resuming import on_resume
from blockyard.leaderboard.columns import with_interval
from blockyard.leaderboard.identity import IGNORED
from blockyard.leaderboard.record import read_all
from blockyard.leaderboard.render import markdown
from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.tables import Table, tables
from blockyard.metrics import Metric

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RECORDS = ROOT / "leaderboard" / "records"
TABLES = ROOT / "docs" / "leaderboards.md"
PAGES = (
    README,
    *(ROOT / "docs" / f"{name}.md" for name in ("costs", "detection", "examples", "objectives", "picture-files")),
    *(ROOT / "docs" / f"{name}.md" for name in ("plugging", "pruning", "resume", "scaling", "search")),
    *(ROOT / "docs" / f"{name}.md" for name in ("segmentation", "suggest")),
)
"""Those with sections that are made."""
BLOCKS = ROOT / "docs" / "blocks.md"
SHAPE = (256, 28, 28)
PICTURE = ROOT / "docs" / "nonlocal.png"


def committed(folder: Path = RECORDS) -> list[Table]:
    """The tables made from the committed records.

    Raises:
        ValueError: If a record is damaged.
    """
    records, damaged = read_all([folder])
    if damaged:
        raise ValueError(damaged[0])
    return tables(records, [folder])


def leaderboard() -> str:
    """One row a task: the primary metric of its networks, with and without blocks."""
    made = committed()
    families = list(dict.fromkeys(row.family for table in made for row in table.rows))
    lines = [f"| task | data | metric | {' | '.join(families)} |", "| --- | --- | --- |" + " --: |" * len(families)]
    for table in made:
        scores = {row.family: row.score for row in table.rows}
        cells = [_score(scores.get(family), table.primary) for family in families]
        name = table.primary.name if table.primary.is_fraction else table.primary.heading
        lines.append(f"| {table.task} | {table.data} | {name} | {' | '.join(cells)} |")
    counts = sorted({row.score.n for table in made for row in table.rows})
    seeds = " or ".join(map(str, counts))
    runs = f"mean over {seeds} seeds ± half its 95 % interval (Student t), % where no unit is said, on small test sets"
    return "\n".join(
        [*lines, "", f"{runs}; costs, differences and notes: [docs/leaderboards.md](docs/leaderboards.md)."]
    )


def _score(score: Estimate | None, metric: Metric) -> str:
    if score is None:
        return "–"
    if not metric.is_fraction:
        return with_interval(score, metric)
    return f"{100 * score.mean:.1f}" + ("" if score.half_width is None else f" ± {100 * score.half_width:.1f}")


def leaderboards() -> str:
    """The whole tables, as ``blockyard leaderboard --markdown`` writes them."""
    title = "# The leaderboards of the demos\n\nWritten by `make docs` from `leaderboard/records`."
    return f"{title}\n\n{markdown(committed())}"


def blocks() -> str:
    """The catalogue of this package's blocks and of what else has a paper, and how the blocks fare in their study."""
    own = [kind for kind in published() if kind.__module__.startswith("blockyard.")]
    title = (
        "# The blocks\n\nWritten by `make docs` from the classes and the configurations, as "
        "`blockyard blocks --format markdown` does for any glob and shape.\n"
    )
    return "\n".join([title, catalogue(entries(own, SHAPE), SHAPE), studies()]).strip() + "\n"


def studies() -> str:
    """The leaderboards of the studies that have been carried out, and what they cannot say."""
    folders = {ROOT / "leaderboard" / name: text for name, text in STUDIES.items()}
    return "\n\n".join(f"{text}\n{markdown(committed(folder))}" for folder, text in folders.items() if folder.exists())


def draw(path: Path) -> None:
    """Plot time and memory against N."""
    rows = [row for row in measured.rows_of("nonlocal") if row["block"] != "SNL associative" and int(row["batch"]) == 2]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, key, label in ((left, "ms", "time, ms"), (right, "saved_MB", "kept for backward, MB")):
        for name in dict.fromkeys(row["block"] for row in rows):
            points = [(int(row["N"]), float(row[key])) for row in rows if row["block"] == name]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axes.set(xscale="log", yscale="log", xlabel="positions N", ylabel=label)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def options() -> str:
    """One row a set of options that a resumed run may or may not have changed."""
    sections = {"trainer": list(inspect.signature(Trainer).parameters), "data": ["batch_size"]}
    listed = ["seed_everything", *(f"{section}.{name}" for section, names in sections.items() for name in names)]
    free = [option.replace(".init_args", "") for option in IGNORED]
    listed += [option for option in free if option.startswith(("model.", "data."))]
    verdicts: dict[str, list[str]] = {}
    for option in [*listed, "model.OPTION", "data.OPTION"]:
        verdicts.setdefault(on_resume(option), []).append(option)
    others = {"model.OPTION": "every other of `model.`", "data.OPTION": "every other of `data.`"}
    lines = ["| option | on resume |", "| --- | --- |"]
    for verdict, names in verdicts.items():
        told = ", ".join(others.get(name, f"`{name}`") for name in names)
        lines.append(f"| {told} | {verdict} |")
    return "\n".join(lines)


def updated(text: str) -> str:
    """A page with its generated sections as they should be."""
    sections = {
        "leaderboard": leaderboard,
        "benchmark": measured.benchmark,
        "peers": measured.peers,
        "options": options,
        "startup": measured.startup,
        "few samples": measured.few_samples,
        "relatives": measured.relatives,
        "then_and_now": measured.then_and_now,
        "computed again": measured.computed_again,
        "reduced": picture_tables.reduced,
        "scaling": measured.scaling,
        "long series": measured.long_series,
        "tokens that leave": measured.tokens_that_leave,
        "plain detection": measured.plain_detection,
        "tiles": measured.tiles,
        "examples": measured.examples,
        "objectives": objective_tables.side_by_side,
        "pretraining": objective_tables.labels_left,
        "criteria": pruning_tables.criteria,
        "budgets": search_tables.budgets,
    }
    for name, make in sections.items():
        section = f"<!-- {name}: written by make docs -->\n{make().strip()}\n<!-- end of {name} -->"
        text = re.sub(rf"<!-- {name}: .*?<!-- end of {name} -->", lambda _, s=section: s, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for page_of_text in PAGES:
        page_of_text.write_text(updated(page_of_text.read_text()))
    TABLES.write_text(leaderboards())
    BLOCKS.write_text(blocks())
    draw(PICTURE)
    pruning_tables.draw(ROOT / "docs" / "pruning.png")
    search_tables.draw(ROOT / "docs" / "search-front.png")
