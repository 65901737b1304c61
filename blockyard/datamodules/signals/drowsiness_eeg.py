"""Drivers' EEG, alert or drowsy, in the one file that it is published as."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.loading import Column
from blockyard.datamodules.matlab import read_array, read_table
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.signals.base import SignalDataModule
from blockyard.datamodules.signals.channels import Channels
from blockyard.datamodules.signals.recorded import Recorded, Recordings
from blockyard.datamodules.signals.subjects import Rows, leave_one_out
from blockyard.media.signal_files import Signal
from blockyard.mistakes import DataError

PAGE = "https://figshare.com/articles/dataset/EEG_driver_drowsiness_dataset/14273687"
RATE = 128.0
STATES = ("alert", "drowsy")
ELECTRODES = (
    *("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "FT7", "FC3", "FCz", "FC4", "FT8", "T3", "C3", "Cz", "C4", "T4"),
    *("TP7", "CP3", "CPz", "CP4", "TP8", "T5", "P3", "Pz", "P4", "T6", "O1", "Oz", "O2"),
)
"""The channels of the file, in its order, as the publishers' code names them."""


class Samples(NamedTuple):
    """What the file holds.

    Attributes:
        values: Series ``(n, T, C)``.
        states: 0 or 1 ``(n,)``.
        subjects: Whose, as text, one each.
    """

    values: NDArray[np.float32]
    states: NDArray[np.int64]
    subjects: list[str]


class DrowsinessEEG(SignalDataModule):
    """Three seconds of 30 electrodes at 128 Hz of drivers who are alert or drowsy (Cui et al., TNNLS 2022).

    Read from one MATLAB file with ``EEGsample`` ``(n, 30, 384)``, ``substate`` ``(n, 1)``, 0 for alert and 1 for
    drowsy, and ``subindex`` ``(n, 1)``; published are 2,022 samples of 11 subjects. One subject is the test, and the
    score of the data set is the mean over all folds. ``predict`` without ``predict_folder`` is the test split without
    its labels.

    Args:
        root: Folder of the file.
        file: Its name.
        fold: The subject to test on, from 1.
        validation: ``subject`` takes the subject after that of the test (after the last one the first); ``none`` trains
            on all others, as the publishers do.
        verify: Whether there must be as many samples and subjects as published. False reads other data in the same
            layout.
        sample_rate: Rate of the windows in Hz.
        window: Length of a window in seconds, at most that of a sample.
        options: Those of :class:`~blockyard.datamodules.signals.base.SignalDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    published_classes: ClassVar[int] = len(STATES)
    published: ClassVar[dict[str, int]] = {"samples": 2022, "subjects": 11}

    def __init__(
        self,
        root: str = "data",
        file: str = "dataset.mat",
        fold: int = 1,
        validation: Literal["subject", "none"] = "subject",
        verify: bool = True,
        sample_rate: float = RATE,
        window: float = 3.0,
        **options: Any,
    ) -> None:
        super().__init__(sample_rate=sample_rate, window=window, **options)
        if validation not in ("subject", "none"):
            raise ValueError(f"DrowsinessEEG: validation={validation} must be subject or none")
        self.file = Path(root) / file
        self.fold = fold
        self.validation = validation
        self.verify = verify

    @property
    def classes(self) -> list[str]:
        """Names of the states."""
        return list(STATES)

    @property
    def layout(self) -> Channels:
        """The electrodes, or those of them that are asked for, known without the file."""
        return super().layout if self.channels or self.known else Channels(ELECTRODES, "first")

    def recordings(self, split: str) -> Recordings:
        """The samples of a split, in the order of the file, each called by subject and number."""
        rows = self._split_rows["test" if split == "predict" else split]
        names = [f"{self._samples.subjects[row]}-{row:04d}" for row in rows]
        return Recordings([self.file / name for name in names], names, self._samples.states[rows])

    def _record(self, split: str) -> Recorded:
        if split == "predict" and self.predict_folder:
            return super()._record(split)
        listed = self.recordings(split)
        if split == "predict":
            listed = Recordings(listed.paths, listed.names)
        rows = self._split_rows["test" if split == "predict" else split]
        return OfOneFile(listed, self.layout, self.sample_rate, self._samples.values[rows])

    @cached_property
    def _samples(self) -> Samples:
        hint = f"get it from {PAGE}, and give the folder that it is in as data.root"
        with np.errstate(over="ignore"):  # what is no such number is told by name
            values = read_array(self.file, "EEGsample", 3, hint)
            states, subjects = (read_table(self.file, name, hint).ravel() for name in ("substate", "subindex"))
        size, time = " × ".join(map(str, values.shape)), values.shape[2]
        if values.shape[1] != len(ELECTRODES):
            raise DataError(f"{self.file}: EEGsample is {size}, where samples × {len(ELECTRODES)} × time is read")
        if math.ceil(time * self.sample_rate / RATE) < self.length:  # all of them would be padded alike
            raise DataError(
                f"{self.file}: EEGsample is {size}, {time / RATE:.3g} s at {RATE:g} Hz, where a window has "
                f"{self.length / self.sample_rate:.3g} s: a longer series or a smaller window expected"
            )
        if not len(values) == len(states) == len(subjects):
            raise DataError(
                f"{self.file}: {len(values)} of EEGsample, {len(states)} of substate, {len(subjects)} of subindex; "
                "as many of each expected"
            )
        if (wrong := (states < 0) | (states >= len(STATES))).any():
            row = int(wrong.argmax())
            raise DataError(f"{self.file}: substate {states[row]} of sample {row} must be 0, alert, or 1, drowsy")
        counts = {"samples": len(values), "subjects": len(set(subjects.tolist()))}
        check_counts(self.file, counts, self.published, self.verify)
        return Samples(np.ascontiguousarray(values.swapaxes(1, 2)), states, list(map(str, subjects.tolist())))

    @cached_property
    def _split_rows(self) -> Rows:
        subjects = self._samples.subjects
        rows = leave_one_out(subjects, sorted(set(subjects), key=int), self.fold)
        if self.validation == "none":
            rows = rows | {"train": sorted(rows["train"] + rows["val"]), "val": []}
        return rows


class OfOneFile(Recorded):
    """Recordings that one file holds together, at the rate of the publishers.

    Args:
        recordings: Which.
        channels: Their channels.
        rate: In Hz; they are resampled to it.
        values: Theirs ``(n, T, C)``.
    """

    def __init__(self, recordings: Recordings, channels: Channels, rate: float, values: NDArray[np.float32]) -> None:
        super().__init__(recordings, channels, rate)
        self.values = values

    def signal(self, position: int) -> Signal:
        """A recording as it is stored."""
        return Signal(self.values[position], ELECTRODES, RATE)

    def files(self, position: int) -> Sequence[Path]:
        """None of its own."""
        return ()

    def described(self) -> Iterator[Column]:
        """The values."""
        yield self.values
