"""What ``predict`` reads and where it writes, in words that are the same for every task."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc import locate
from typing import Any

from blockyard.composing.composition import Composed
from blockyard.tasks.new_samples import TABLES

OPTIONS = ("predict_folder", "predict_path", "query_folder")
"""What data modules call their new samples; of re-identification, those that are asked for."""
GALLERY = "gallery_folder"


@dataclass(frozen=True)
class Prediction:
    """The options of ``predict`` itself.

    Attributes:
        inputs: Files and folders to read; empty leaves it to the data module.
        gallery: Files and folders that are searched, where the task ranks a gallery.
        output: The folder, or the table, that results go to; None is the run's folder.
        overwrite: Whether results that are there already are replaced.
    """

    inputs: tuple[str, ...] = ()
    gallery: tuple[str, ...] = ()
    output: Path | None = None
    overwrite: bool = False

    def settle(self, data: Any, composed: Composed) -> None:
        """Tell a parsed data module what to read.

        Args:
            data: Its ``class_path`` and ``init_args``.
            composed: The configuration, which must not say so too.

        Raises:
            ValueError: If it takes no new samples, or if the command line names them in two ways.
        """
        names, title = _arguments(locate(data.class_path)), data.class_path.rpartition(".")[2]
        for option, places, known, without in (
            ("--input", self.inputs, OPTIONS, "predict reads its test split"),
            ("--gallery", self.gallery, (GALLERY,), "it is for re-identification, which searches one"),
        ):
            target = next((name for name in known if name in names), None)
            if not places:
                continue
            if target is None:
                raise ValueError(f"predict: {title} takes no {option}: {without}")
            if composed.asks(f"data.{target}"):
                raise ValueError(f"predict: {option} and --data.{target} are the same: give one of them")
            data.init_args[target] = list(places) if len(places) > 1 else places[0]

    def refuse_existing(self, callbacks: Iterable[Any]) -> None:
        """Refuse to write over results that are there already, before anything is computed.

        Args:
            callbacks: Those of the trainer; what has ``results`` says where it will write.

        Raises:
            ValueError: If one of them is there and ``overwrite`` does not allow it.
        """
        for path in _results(callbacks):
            inside = self.output in path.parents
            if self.output and self.output.suffix.lower() in TABLES and inside:
                raise ValueError(
                    f"predict: --output {self.output}: {path.name} is a folder of PNG files: give one that it goes to"
                )
            found = next((place for place in (path, *path.parents) if place.exists()), Path())
            if found != path and not found.is_dir():
                raise ValueError(f"predict: {found} is a file, so nothing goes into it: choose another --output")
            if found == path and bool(path.suffix) == path.is_dir():
                kind = "folder" if path.is_dir() else "file"
                raise ValueError(f"predict: {path} is a {kind}: choose another --output")
            there = any(path.iterdir()) if path.is_dir() else path.exists()
            if there and not self.overwrite:
                raise ValueError(
                    f"predict: {path} is there already: --output PATH writes elsewhere, --overwrite replaces it"
                )


def _results(callbacks: Iterable[Any]) -> Iterator[Path]:
    for callback in callbacks:
        yield from getattr(callback, "results", ())


def _arguments(kind: Any) -> set[str]:
    """What a class takes, itself or by handing it on."""
    return {name for owner in kind.__mro__ for name in inspect.signature(owner.__init__).parameters}
