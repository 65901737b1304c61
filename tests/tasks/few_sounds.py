"""A handful of made-up recordings of several windows each; as a script, evaluates them as one of WORLD_SIZE."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim import SGD

from blockyard.backbones import Backbone, LogMel, Stage
from blockyard.datamodules import DataModule
from blockyard.datamodules.loading import Split
from blockyard.tasks.classification.audio import AudioClassification
from blockyard.tasks.classification.predictions import PredictionsCSV
from blockyard.tasks.classification.tagging import AudioTagging

CLASSES, LENGTH, RATE = 7, 1600, 8000
WINDOWS = (1, 3, 2, 1, 4, 1, 2)
"""Windows of the recordings, over and over."""
CASES = (9, 8, 1)
"""Recordings: 17 windows, which two processes do not share equally; 15; one, which leaves a process without."""
BROKEN = {2, 4, 5, 9}
"""Windows that can't be decoded: one of recording 1, both of recording 2, one of recording 4."""


class Recordings(Split):
    """Noise around tones; recording i is of class i modulo K, or of up to two classes, sometimes of none."""

    def __init__(self, recordings: int, training: bool, multi_label: bool, targets: bool = True) -> None:
        self.names = [f"s{k}.wav" for k in range(recordings)]
        self.multi_label, self.targets = multi_label, targets
        if not training:
            counts = [WINDOWS[k % len(WINDOWS)] for k in range(recordings)]
            self.owner = [k for k, count in enumerate(counts) for _ in range(count)]
            self.windows = [(0.2 * w, 0.2 * w + 0.2) for count in counts for w in range(count)]
            self.names = self.names[::-1]  # so that a position is no number in a name

    def __len__(self) -> int:
        return len(self.names) if self.owner is None else len(self.owner)

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        recording, valid = self.sample_of(index), self.owner is None or index not in BROKEN
        pitch = 200 + 3000 * torch.rand(1, 1, generator=generator)  # of a window, so that windows disagree
        tone = torch.sin(2 * torch.pi * pitch * torch.arange(LENGTH) / RATE)
        wave = (tone + 0.05 * torch.randn(1, LENGTH, generator=generator)) * 0.2 * valid
        sample = {"input": wave, "valid": valid}
        return sample | ({"target": self.target(recording)} if self.targets else {})

    def target(self, recording: int) -> Any:
        if not self.multi_label:
            return recording % CLASSES
        labels = torch.zeros(CLASSES)
        labels[[recording % 3, 3 + recording % 2][: (recording + 1) % 4]] = 1  # classes 5 and 6 never occur
        return labels


class FewSounds(DataModule):
    """The same recordings in every split."""

    sample_rate = RATE

    def __init__(self, recordings: int, multi_label: bool = False, batch_size: int = 4) -> None:
        super().__init__(batch_size, num_workers=0, seed=0)
        self.recordings, self.multi_label = recordings, multi_label

    @property
    def classes(self) -> list[str]:
        return [f"class {k}" for k in range(CLASSES)]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (1, LENGTH)

    def load(self, split: str) -> Recordings:
        return Recordings(self.recordings, split == "train", self.multi_label, split != "predict")


class TinyNet(Backbone):
    """One convolution of bands and a classifier of its means, in float64: the same whatever the size of the batch."""

    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__(num_classes, in_channels)
        self.conv = nn.Conv2d(in_channels, 8, (16, 3), (8, 1))
        self.fc = nn.Linear(24, num_classes)
        self.stages = (Stage("conv", 8, 8),)
        nn.init.normal_(self.fc.weight, std=3)  # far from uniform, each clip in its own way

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x.to(self.fc.weight)).relu().mean(3).flatten(1)).float()

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.conv(x.to(self.fc.weight))]


def task(kind: type[AudioClassification] = AudioClassification, **options: Any) -> AudioClassification:
    torch.manual_seed(0)
    front_end = LogMel(RATE, n_mels=32)
    return kind(TinyNet, CLASSES, (1, LENGTH), front_end=front_end, optimizer=partial(SGD, lr=0.1), **options)


def trainer(devices: int = 1, **options: Any) -> Trainer:
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if devices > 1 else "auto"
    return Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, use_distributed_sampler=False, **plain, **options
    )


def evaluate(recordings: int, kind: type[AudioClassification], directory: Path, devices: int) -> dict[str, Any]:
    """Metrics, outcomes and predictions; the same on every process."""
    module, data = task(kind), FewSounds(recordings, kind.multi_label)
    module.network.backbone.double()
    path = directory / f"{recordings}-{kind.__name__}"
    with_table = trainer(devices, callbacks=[PredictionsCSV(path)])
    tested = with_table.test(module, data, verbose=False)[0]
    validated = with_table.validate(module, data, verbose=False)[0]
    if not kind.multi_label:
        validated.pop("val/loss")  # a mean of the processes' means: its last digits depend on their number
    with_table.predict(module, data, return_predictions=False)
    with_table.strategy.barrier()
    lines = {name: (path / f"{name}.csv").read_text().splitlines() for name in ("predictions", "windows")
             if (path / f"{name}.csv").exists()}  # fmt: skip
    lines["predictions"] = [line.rpartition(",")[0] for line in lines["predictions"]]  # without the seconds
    return {
        "metrics": tested | validated,
        "outcomes": {name: values.tolist() for name, values in module.outcomes.items()},
        "scores": {name: values.tolist() for name, values in module.sample_scores.items()},
        "missing": module.missing.tolist(),
        **lines,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    results = {
        f"{recordings}-{kind.__name__}": evaluate(recordings, kind, place, devices=world)
        for recordings in CASES
        for kind in (AudioClassification, AudioTagging)
    }
    (place / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(results))
