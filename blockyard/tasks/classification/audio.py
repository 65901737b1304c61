"""Audio classification: one label a recording, from its spectrogram or its waveform."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from blockyard.backbones import Backbone, FrontEnd, FrontEnded, LogMel
from blockyard.datamodules import DataModule
from blockyard.datamodules.suggesting import Choice
from blockyard.tasks.classification.views import ViewClassification

FRAMES = 128
"""Windows of a spectrogram that are suggested at most, unless 10 ms apart gives fewer."""
COLUMNS = 300
"""At most so many columns has the picture of a recording."""


class AudioClassification(ViewClassification):
    """Names what is heard in each recording.

    The network sees waveforms ``(B, 1, L)``: with a front end its spectrogram goes to a 2-D backbone of one channel,
    without one the waveform itself to a 1-D backbone. Plugs' paths are those of the backbone. In evaluation a long
    recording is read in several windows, whose class probabilities are averaged; every metric and score is one of
    *files*. Those that can't be decoded are named, left out, and counted as ``test/missing_files``.

    Args:
        backbone: Called with ``(num_classes, 1)``, or behind a front end that gives other channels with these.
        num_classes: Classes K; the command line takes it from the data.
        input_shape: ``(1, L)``; the command line takes it from the data.
        front_end: Makes the spectrogram, or the scalogram; None leaves the waveform to the backbone.
        options: Those of :class:`~blockyard.tasks.classification.base.Classification`.

    Raises:
        ValueError: As :class:`~blockyard.tasks.base.Task`; when a run starts, if front end and data differ in their
            sample rate.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("sounds with classes",)
    ranks: ClassVar[tuple[int, ...]] = (1,)
    called: ClassVar[str] = "files"
    pipeline: ClassVar[str] = "audio-classification"

    @classmethod
    def suits(cls, data: DataModule) -> bool:
        """Whether the sounds have one label each."""
        return super().suits(data) and getattr(data, "multi_label", False) == cls.multi_label

    @classmethod
    def suggest(cls, data: DataModule, trained: Choice | None, epochs: int) -> dict[str, Choice]:
        """Also a spectrogram, parts of which are masked in training."""
        bands, hop, frames = cls._spectrogram(data)
        rate: int = data.sample_rate  # type: ignore[attr-defined]
        front_end = {"sample_rate": rate, "n_mels": bands, "hop_length": hop}
        masks = {"freq_mask": bands // 8, "time_mask": max(1, frames // 8)}
        why = f"up to {rate // 2:,} Hz; {frames} windows {1000 * hop / rate:.0f} ms apart, an eighth masked in training"
        chosen = {"class_path": "LogMel", "init_args": front_end | masks}
        return {"front_end": Choice(chosen, why), **super().suggest(data, trained, epochs)}

    @classmethod
    def untrained(cls, data: DataModule, **options: Any) -> Choice:
        """With a pooling that silence around a sound does not dilute."""
        found = super().untrained(data, **options)
        if found.value["class_path"] != "PreResNet":
            return found
        chosen = {**found.value, "init_args": {**found.value["init_args"], "pooling": "GeM"}}
        return Choice(chosen, f"{found.reason}; GeM is nearer to the maximum than to the mean, which silence lowers")

    @classmethod
    def positions(cls, data: DataModule) -> tuple[int, ...]:
        """Bands and windows of the spectrogram."""
        bands, _, frames = cls._spectrogram(data)
        return bands, frames

    @staticmethod
    def _spectrogram(data: DataModule) -> tuple[int, int, int]:
        """Bands, samples from window to window, and windows."""
        rate: int = data.sample_rate  # type: ignore[attr-defined]
        length = data.input_shape[1]
        hop = max(round(0.01 * rate), -(-length // FRAMES))
        return (64 if rate <= 24_000 else 96), hop, 1 + length // hop

    def __init__(
        self,
        backbone: Callable[[int, int], Backbone],
        num_classes: int,
        input_shape: tuple[int, ...],
        front_end: FrontEnd | None = None,
        **options: Any,
    ) -> None:
        if front_end is not None:
            backbone = partial(FrontEnded, front_end=front_end, backbone=backbone)
        super().__init__(backbone, num_classes, input_shape, **options)
        self.front_end_rate = None if front_end is None else front_end.sample_rate

    def setup(self, stage: str) -> None:
        """Compare front end and task with the data.

        Raises:
            ValueError: If they differ in their sample rate, or the data are of the other kind of labels.
        """
        super().setup(stage)
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        rate = getattr(data, "sample_rate", None)
        if self.front_end_rate and rate and rate != self.front_end_rate:
            raise ValueError(
                f"the front end takes {self.front_end_rate} samples a second and the data have {rate}: set "
                f"model.front_end.sample_rate to {rate}, or data.sample_rate to {self.front_end_rate}"
            )
        # To predict takes no labels, and data that know theirs only by reading them.
        if stage != "predict" and getattr(data, "multi_label", False) != self.multi_label:
            labels, task = (
                ("one label", "AudioClassification") if self.multi_label else ("several labels", "AudioTagging")
            )
            raise ValueError(f"{type(data).__name__} has {labels} a file: the task for it is {task}")

    def render(self, waveform: Tensor | NDArray[np.float32]) -> NDArray[np.uint8]:
        """A picture ``(1, H, W, 1)`` of a waveform ``(1, L)``: its log-mel spectrogram, low frequencies below."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        wave = torch.as_tensor(waveform)
        hop = max(round(0.01 * data.sample_rate), -(-wave.shape[-1] // COLUMNS))
        n_fft = max(1024, round(0.025 * data.sample_rate))
        front_end = LogMel(data.sample_rate, n_fft, hop_length=hop, scale="db", top_db=80, normalise=None)
        decibels = front_end(F.pad(wave, (0, max(0, n_fft - wave.shape[-1])))[None])[0, 0].flip(0)
        lowest, highest = decibels.aminmax()
        pixels = (decibels - lowest) / (highest - lowest).clamp(min=1e-3) * 255
        return pixels.byte().numpy()[None, ..., None]
