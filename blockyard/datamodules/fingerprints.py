"""Which samples a split holds, as a short digest: the same wherever they lie, another for other samples."""

from __future__ import annotations

import csv
import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.loading import Column, Split
from blockyard.mistakes import DataError
from blockyard.progress import at_work

DIGITS = 16
"""Hexadecimal digits of a fingerprint."""
COLUMNS = ("split", "name", "bytes", "sha256", "shape", "problem")
"""Of a manifest, as ``blockyard check-data --manifest`` writes it."""
Manifest = dict[tuple[str, str], tuple[str, ...]]
"""By split and name, what the other columns hold."""


def fingerprint(columns: Iterable[Column]) -> str:
    """Digest of columns of text and numbers; no file is touched, so that 1.3 million names take half a second.

    Args:
        columns: Names, labels and what else tells samples apart; of numbers the value counts and not the type.
    """
    digest = hashlib.sha256()
    for column in columns:
        content = _text(column) if _is_text(column) else _numbers(np.asarray(column))
        digest.update(f"{len(content)}\n".encode())  # or the end of one column could pass for the start of the next
        digest.update(content)
    return digest.hexdigest()[:DIGITS]


def contents(split: str, samples: Split, manifest: Manifest, file: Path) -> list[Column]:
    """Size and SHA-256 of every sample by a manifest, whose sizes have to be those of the files.

    Args:
        split: Name of the split.
        samples: The split.
        manifest: What :func:`read_manifest` gave.
        file: Where that stands, for messages.

    Raises:
        ValueError: If a sample is not in the manifest, or a file has another size; one line.
    """
    sizes, digests = [], []
    for position, name in enumerate(samples.names):
        row = manifest.get((split, name))
        if row is None:
            raise ValueError(f"{file}: {split} {name} is not in it: write a new manifest with check-data")
        found = sum(path.stat().st_size for path in samples.files(position) if path.is_file())
        if row[0] and int(row[0]) != found:
            raise ValueError(f"{file}: {split} {name} has {found} bytes, not {row[0]}: its content has changed")
        sizes.append(row[0])
        digests.append(row[1])
    return [sizes, digests]


def read_manifest(file: Path) -> Manifest:
    """Read what ``blockyard check-data --manifest`` wrote.

    Raises:
        ValueError: If it is no manifest.
    """
    try:
        header, *rows = csv.reader(io.StringIO(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise ValueError(f"{file} is no manifest of check-data: it can't be read") from error
    if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) or not (row[2] or "0").isdigit() for row in rows):
        raise ValueError(f"{file} is no manifest of check-data: columns {','.join(COLUMNS)} expected")
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}


class Fingerprinted(ABC):
    """What a data module tells of which data it reads; a mixin.

    Attributes:
        checked: A manifest of ``check-data`` that tells their contents too; None without one.
    """

    checked: str | None

    @property
    @abstractmethod
    def classes(self) -> list[str]:
        """Names of the classes."""

    @abstractmethod
    def split(self, name: str) -> Split:
        """A split, read on first use."""

    def fingerprint(self, split: str) -> str:
        """Which samples a split holds: their names and labels in order, with ``checked`` also their contents.

        Raises:
            ValueError: If there is no such split, or ``checked`` is no manifest of these samples.
            DataError: If something is missing or damaged.
        """
        samples = self.split(split)
        columns = [samples.names, *samples.described()]
        if self.checked:
            with at_work(f"comparing {split} with {self.checked}"):
                columns += contents(split, samples, self._manifest, Path(self.checked))
        return fingerprint(columns)

    @cached_property
    def _manifest(self) -> Manifest:
        assert self.checked is not None
        return read_manifest(Path(self.checked))

    def fingerprints(self, *splits: str) -> dict[str, str]:
        """The classes' fingerprint, if there are any, and those of splits; a test split that can't be read is left out.

        Raises:
            DataError: If another one is missing or damaged.
        """
        found = {"classes": fingerprint([self.classes])} if self.classes else {}
        for name in splits:
            try:
                found[name] = self.fingerprint(name)
            except DataError:
                if name != "test":  # whoever trains need not have it yet
                    raise
        return {**found, "of": self.fingerprints_are_of}

    @property
    def fingerprints_are_of(self) -> str:
        """``contents`` where a manifest says them, else ``names``."""
        return "contents" if self.checked else "names"


def _is_text(column: Column) -> bool:
    return not isinstance(column, np.ndarray) and (len(column) == 0 or isinstance(column[0], str))


def _text(column: Column) -> bytes:
    # file names can hold any character but this one
    return "\0".join(column).encode("utf-8", "surrogateescape")


def _numbers(values: NDArray[Any]) -> bytes:
    kind = {"f": "<f8", "b": "|u1"}.get(values.dtype.kind, "|u1" if values.dtype == np.uint8 else "<i8")
    return f"{values.shape}{kind}\n".encode() + np.ascontiguousarray(values, kind).tobytes()
