"""Splits of series: windows of recordings."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blockyard.datamodules.loading import Column, Split
from blockyard.datamodules.moments import Moments, moments_of
from blockyard.datamodules.signals.moments import TrainingMoments
from blockyard.datamodules.signals.recorded import Recorded
from blockyard.datamodules.windows import Windows
from blockyard.media.signal_files import SignalError


class Series(Split):
    """Windows of the recordings of one split, with labels or without.

    In training a recording has as many items as windows fit into it side by side, at least one, each a window at a
    random place. Elsewhere it has one window every ``hop`` samples, the last of which ends where it ends. A recording
    shorter than a window is filled up on the right with what is zero after normalisation. One that can't be read stays,
    as one window of zeros marked not ``valid``; in training it is refused. ``names`` has one name a *recording*.

    Args:
        recorded: The recordings.
        length: L, samples of a window.
        hop: Samples from one window to the next; not in training.
        training: Whether windows are random.
        normalise: What each channel is normalised by: :class:`TrainingMoments`, those of its recording, or numbers.
    """

    def __init__(
        self,
        recorded: Recorded,
        length: int,
        hop: int,
        training: bool,
        normalise: TrainingMoments | Moments | None,
    ) -> None:
        self.recorded = recorded
        self.names = recorded.recordings.names
        self.length = length
        self.hop = hop
        self.training = training
        self.normalise = normalise
        self._own: dict[int, Moments] = {}

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def owner(self) -> list[int]:  # type: ignore[override]
        """Of every window the position of its recording."""
        return self._laid[0].owner

    @property
    def windows(self) -> list[tuple[float, float]] | None:  # type: ignore[override]
        """Of every window the part of its recording, in seconds."""
        return None if self.training else self._laid[0].seconds

    @property
    def targets(self) -> NDArray[Any] | None:  # type: ignore[override]
        """Labels of the recordings."""
        return self.recorded.recordings.targets

    @property
    def damaged(self) -> list[str]:
        """What is wrong with recordings that can't be read, one line each."""
        return self._laid[1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, float32 ``(C, L)``, ``valid``, and ``target`` if there are labels.

        Raises:
            SignalError: If in training a recording can't be read.
        """
        position = self.owner[index]
        window, valid = np.zeros((self.length, len(self.recorded.channels.names)), np.float32), True
        try:
            values, (mean, std) = self._read(position, index), self._moments(position)
            window[: len(values)] = (values - mean) / std
        except SignalError:
            if self.training:
                raise
            valid = False
        sample = {"input": torch.from_numpy(np.ascontiguousarray(window.T)), "valid": valid}
        return sample if self.targets is None else sample | {"target": int(self.targets[position])}

    def described(self) -> Iterator[Column]:
        """Labels, and the values of recordings that have no files of their own."""
        if self.targets is not None:
            yield self.targets
        yield from self.recorded.described()

    def over(self, other: Split) -> Series:
        """The recordings of another split, in windows as this one has them."""
        assert isinstance(other, Series)
        plain = copy(self)
        plain.recorded, plain.names, plain._own = other.recorded, other.names, {}
        plain.__dict__.pop("_laid", None)
        return plain

    def files(self, position: int) -> Sequence[Path]:
        """The file of a recording, if it has one of its own."""
        return self.recorded.files(position)

    def stored_shape(self, position: int) -> tuple[int, int]:
        """``(T, C)`` as stored."""
        samples, channels = self.recorded.signal(position).values.shape
        return samples, channels

    def problem(self, position: int) -> str | None:
        """What is wrong with a recording, reading all of it."""
        try:
            for _ in self.recorded.blocks(position):
                pass
        except SignalError as error:
            return str(error)
        return None

    def note(self, position: int) -> str | None:
        """That a recording is resampled, or looks as if its axes were the other way round."""
        try:
            rate = self.recorded.resampled_from(position)
            samples, channels = self.stored_shape(position)
        except SignalError:
            return None
        resampled = [] if rate is None else [f"{rate:g} Hz, resampled to {self.recorded.rate:g} Hz"]
        turned = [f"{channels} channels of {samples} samples: rows are taken for time"] if channels > samples else []
        return "; ".join(resampled + turned) or None

    @cached_property
    def _laid(self) -> tuple[Windows, list[str]]:
        """The windows, and what can't be read; laid on first use, which a list of the names does not need."""
        laid, damaged = Windows(), []
        for position in range(len(self.names)):
            try:
                samples = len(self.recorded.read(position))
            except SignalError as error:
                damaged.append(str(error))
                samples = self.length
            hop = self.length if self.training else self.hop
            # In training, of a window that only the rest of a recording would fill, there is none.
            end = samples - samples % self.length if self.training and samples > self.length else samples
            laid.lay(position, 0, end, self.length, hop, self.recorded.rate)
        return laid, damaged

    def _read(self, position: int, index: int) -> NDArray[np.float32]:
        start = self._laid[0].starts[index]
        if self.training:
            rng = np.random.default_rng(random.getrandbits(64))
            start = int(rng.integers(max(1, len(self.recorded.read(position)) - self.length + 1)))
        return self.recorded.stretch(position, start, self.length)

    def _moments(self, position: int) -> Moments:
        if isinstance(self.normalise, TrainingMoments):
            return self.normalise.moments
        if self.normalise is not None:
            return self.normalise
        if position not in self._own:
            self._own[position] = moments_of(self.recorded.blocks(position))
        return self._own[position]
