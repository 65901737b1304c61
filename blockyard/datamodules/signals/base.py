"""What every data module of series shares."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from blockyard.datamodules.labelled import LabelledDataModule
from blockyard.datamodules.moments import Moments
from blockyard.datamodules.signals.channels import Channels, all_of
from blockyard.datamodules.signals.moments import TrainingMoments
from blockyard.datamodules.signals.recorded import SERIES, Recorded, Recordings
from blockyard.datamodules.signals.series import Series
from blockyard.datamodules.suggesting import Choice, Suggestion, batch_for, spread
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.media.signal_files import SignalError

WHOLE = 1_000
"""Samples up to which recordings are seen whole, in one window."""
WINDOW = 256
"""Samples of a window of longer ones."""


class SignalDataModule(LabelledDataModule):
    """Windows of multi-channel series, read when asked for; a subclass lists the files in :meth:`recordings`.

    A file is a recording: npz, npy, CSV or Parquet, rows over time, columns the channels
    (:func:`~blockyard.media.signal_files.read_signal`). Its rate is what it says itself, in a column or array ``rate``
    or by a column ``time`` in seconds; where that is another than ``sample_rate``, it is resampled. Training takes
    random windows, as many an epoch as fit into each recording side by side; evaluation takes a window every ``hop``
    seconds, the last one ending with the recording, to be averaged.

    Batches hold ``input``, float ``(B, C, L)``, ``target``, long ``(B,)``, and ``valid``, bool ``(B,)``: False for a
    recording that can't be read, whose input is zero. Training refuses such recordings.

    Args:
        sample_rate: Rate of the windows in Hz, and that of files that don't say theirs.
        window: Length of a window in seconds.
        hop: Seconds from one window to the next in evaluation, at most ``window``; None means ``window``.
        normalise: What each channel's mean and standard deviation are made 0 and 1 over: all ``training`` recordings,
            whose moments a checkpoint keeps, or each ``recording``; None leaves the values.
        channels: Names of the channels, or their positions from 0, in the order of the input; None means all that the
            first training file has, which every file then must have.
        predict_folder: A recording for ``predict``, a folder with recordings at any depth, or several of either.
        options: Those of :class:`~blockyard.datamodules.labelled.LabelledDataModule`.

    Raises:
        ValueError: If a number is out of range, or a channel is named twice.
    """

    samples_are: ClassVar[str] = "series with a class"
    evaluation_options = ("hop",)

    def __init__(
        self,
        sample_rate: float,
        window: float = 2.0,
        hop: float | None = None,
        normalise: Literal["training", "recording"] | None = "training",
        channels: list[str | int] | None = None,
        predict_folder: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 < sample_rate < float("inf") or round(window * sample_rate) < 1:
            raise ValueError(f"sample_rate={sample_rate} and window={window} must be positive, a sample at least")
        self.sample_rate = int(sample_rate) if float(sample_rate).is_integer() else sample_rate
        self.length = round(window * sample_rate)
        self.hop = self.length if hop is None else round(hop * sample_rate)
        if not 1 <= self.hop <= self.length:
            raise ValueError(f"hop={hop} must be a sample at least and window={window} s at most")
        if normalise not in ("training", "recording", None):
            raise ValueError(f"normalise={normalise!r} must be training, recording or null")
        self.normalise = normalise
        self.channels = None if channels is None else tuple(map(str, channels))
        if self.channels is not None and not 0 < len(set(self.channels)) == len(self.channels):
            raise ValueError(f"channels={channels} must be names or positions, each once")
        self.predict_folder = predict_folder

    @abstractmethod
    def recordings(self, split: str) -> Recordings:
        """List the recordings of a split; of ``predict`` those for when there is no ``predict_folder``.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    @property
    def layout(self) -> Channels:
        """The channels: as asked for, as a checkpoint says, or as the first training file has them."""
        if self.channels is not None:
            return Channels(self.channels, "user")
        if self.known is not None and self.known.channels:
            return Channels(self.known.channels, "checkpoint")
        return self._first_layout

    @cached_property
    def _first_layout(self) -> Channels:
        return all_of(self.recordings("train").paths)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(C, L)``."""
        return (len(self.layout.names), self.length)

    @property
    def mean(self) -> tuple[float, ...] | None:
        """Mean of each channel in the training data; None if nothing is normalised by it."""
        return None if self.normalise != "training" else tuple(self._moments().mean.tolist())

    @property
    def std(self) -> tuple[float, ...] | None:
        """Standard deviation of each channel, likewise."""
        return None if self.normalise != "training" else tuple(self._moments().std.tolist())

    @property
    def values_are(self) -> str:
        """What the values of an input are, for whoever runs an exported network."""
        said = {
            "training": "in the units of the files; the network normalises them itself",
            "recording": "each channel with mean 0 and standard deviation 1 over its recording",
            None: "in the units of the files",
        }[self.normalise]
        return f"series of {', '.join(self.layout.names)} at {self.sample_rate:g} Hz, {said}"

    def read_vocabulary(self) -> Vocabulary:
        """Classes, channels, and what these are normalised by."""
        mean, std = self.mean or (), self.std or ()
        return Vocabulary(self.num_classes, tuple(self.classes), channels=self.layout.names, mean=mean, std=std)

    def setup(self, stage: str) -> None:
        """Read what a stage needs, so that what is missing or damaged is reported before anything starts.

        Raises:
            DataError: If something is missing, or a training recording can't be read.
        """
        super().setup(stage)
        train = self.split("train") if stage == "fit" else None
        if isinstance(train, Series) and train.damaged:
            first, *others = train.damaged
            raise SignalError(f"{first} ({len(others)} more like it: check-data lists them)" if others else first)
        if self.normalise == "training":
            self._moments()  # before there are workers, or each would compute them

    def load(self, split: str) -> Series:
        """List a split; the recordings themselves are opened when asked for."""
        recorded = self._training if split == "train" else self._record(split)
        return Series(recorded, self.length, self.hop, split == "train", self._normalised_by())

    @classmethod
    def opening(cls, root: Path) -> dict[str, Any]:
        """Also the rate of files that don't say theirs: a row a second."""
        return {**super().opening(root), "sample_rate": 1}

    def suggest(self, weights: bool) -> Suggestion:
        """Rate and windows that the training recordings speak for."""
        listed = self.recordings("train")
        told = listed.rates or [None] * len(listed.paths)
        rates, counts = [], []
        for row in spread(range(len(listed.paths))):
            signal = self._training.signal(row)
            rates.append(told[row] or signal.rate)
            counts.append(len(signal.values))
        said_rates = [rate for rate in rates if rate]
        rate, count, longest = float(np.median(said_rates or [self.sample_rate])), int(np.median(counts)), max(counts)
        known = "as the files say" if said_rates else "no file says its rate: rows count as seconds"
        samples, why = WINDOW, f"of the {count:,} of a recording, at random in training"
        if longest <= WHOLE:
            samples, why = longest, "as many as the longest recording has: all are seen whole"
        options = {
            "sample_rate": Choice(round(rate, 3), f"Hz, {known}"),
            "window": Choice(round(samples / rate, 6), f"seconds, {samples:,} samples {why}"),
        }
        if longest > samples:
            options["hop"] = Choice(round(samples // 2 / rate, 6), "half a window: a test sees everything twice")
        chosen = {name: choice.value for name, choice in options.items()}
        windows = len(type(self)(**{**self.hparams, **chosen}).split("train"))
        options["batch_size"] = batch_for(windows)
        channels, classes = len(self.layout.names), len(self.classes)
        said = f"{len(listed.paths):,} series to train on, {classes} classes, {channels} channels, {count:,} samples"
        return Suggestion(said, options)

    def _normalised_by(self) -> TrainingMoments | Moments | None:
        if self.normalise != "training":
            return None if self.normalise else Moments(np.zeros(1), np.ones(1))
        return self._moments() if self.known and self.known.mean else self._training_moments

    def _moments(self) -> Moments:
        if self.known and self.known.mean:
            return Moments(np.array(self.known.mean), np.array(self.known.std))
        return self._training_moments.moments

    @cached_property
    def _training_moments(self) -> TrainingMoments:
        return TrainingMoments(self._training)

    @cached_property
    def _training(self) -> Recorded:
        """Shared by the split and its moments, and so is what is kept of it in memory."""
        return self._record("train")

    def _record(self, split: str) -> Recorded:
        if split == "predict" and self.predict_folder:
            found = SERIES.find_new(self.predict_folder)
            listed = Recordings(found.paths, found.names)
        else:
            listed = self.recordings(split)
        if split == "predict":
            listed = Recordings(listed.paths, listed.names, None, listed.rates)
        return Recorded(listed, self.layout, self.sample_rate)
