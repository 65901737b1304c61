"""Pictures to be looked at: as a person sees them, and as a network does; and series, as it does."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blockyard.datamodules import DataError, DataModule
from blockyard.datamodules.images import Pixels


class Shown(NamedTuple):
    """A picture, as a person sees it and as the network does, ``(1, C, H, W)``."""

    name: str
    pixels: Pixels
    input: Tensor


def from_files(data: DataModule, paths: Sequence[Path]) -> list[Shown]:
    """Picture files, prepared as ``predict`` prepares them; no other data are read.

    Raises:
        DataError: If one can't be read.
    """
    return [_from_file(data, path) for path in paths]


def _from_file(data: DataModule, path: Path) -> Shown:
    if not hasattr(data, "predict_folder"):
        raise ValueError(f"{type(data).__name__} holds no single pictures: give --samples N … in place of --images")
    if path.is_dir():
        raise DataError(f"--images {path}: a folder; name the pictures in it")
    alone: Any = copy.copy(data)
    alone.predict_folder = path
    split = alone.load("predict")
    if (problem := split.problem(0)) is not None:
        raise DataError(problem)
    return _shown(split, path.name, split[0])


def series_from_samples(data: DataModule, numbers: Sequence[int]) -> list[tuple[str, Tensor]]:
    """Names of samples of the test split, and the first window of each as the network sees it, ``(1, C, L)``.

    Raises:
        ValueError: If there is no such sample, or it is no series.
    """
    windows = []
    for name, sample in _samples(data, numbers):
        series = sample["input"]
        if not isinstance(series, Tensor) or series.ndim != 2:
            are = {3: "pictures", 4: "videos"}.get(np.ndim(series), "none")
            kind = type(data).__name__
            raise ValueError(f"evidence is of series, channels over time; samples of {kind}, as {name}, are {are}")
        windows.append((name, series.unsqueeze(0)))
    return windows


def from_samples(data: DataModule, numbers: Sequence[int]) -> list[Shown]:
    """Samples of the test split."""
    return [_shown(data.split("test"), name, sample) for name, sample in _samples(data, numbers)]


def _samples(data: DataModule, numbers: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Their names, and the first item of each."""
    if not numbers:
        return
    split, names = data.split("test"), data.names("test")
    for number in numbers:
        if not 0 <= number < len(names):
            raise ValueError(f"--samples {number}: the test split has samples 0 to {len(names) - 1}")
        yield names[number], split[split.items_of(number)[0]]


def _shown(split: Any, name: str, sample: dict[str, Any]) -> Shown:
    pixels: NDArray[Any] = np.asarray(sample["input"])
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"{name} is no picture, and only on pictures can be drawn")
    # Pictures of several sizes come as a list.
    given = split.collate([{**sample, "index": 0}])["input"][0]
    return Shown(name, pixels, given.unsqueeze(0))
