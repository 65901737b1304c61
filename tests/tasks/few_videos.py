"""A handful of made-up clips in several views, some undecodable; as a script, evaluates them as one of WORLD_SIZE."""

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

from blockyard.backbones import Backbone
from blockyard.datamodules import DataModule
from blockyard.datamodules.loading import Split
from blockyard.tasks import ActionRecognition
from blockyard.tasks.classification.predictions import PredictionsCSV

CLASSES, VIEWS = 7, 3
CASES = (8, 7, 1)
"""Videos: divisible by two processes; not divisible; all views of one video, dealt to both processes."""
BROKEN = {1, 6, 7, 8, 13}
"""Views that can't be decoded: one of video 0, one of video 4, and all of video 2."""


class Clips(Split):
    """``videos`` × ``VIEWS`` clips of noise (3, 4, 8, 8)."""

    def __init__(self, videos: int, views: int, targets: bool = True) -> None:
        self.views = views
        self.names = [f"v{video}.avi" for video in range(videos)]
        self.targets = targets

    def __len__(self) -> int:
        return len(self.names) * self.views

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        valid = self.views == 1 or index not in BROKEN
        colour = torch.randn(3, 1, 1, 1, generator=generator)  # of a whole view, so that views disagree
        clip = (colour + torch.randn(3, 4, 8, 8, generator=generator)) * valid
        sample = {"input": clip, "valid": valid}
        return sample | ({"target": index // self.views % CLASSES} if self.targets else {})


class FewVideos(DataModule):
    """The same clips in every split; one view a video in training."""

    def __init__(self, videos: int, batch_size: int = 4) -> None:
        super().__init__(batch_size, num_workers=0, seed=0)
        self.videos = videos

    @property
    def classes(self) -> list[str]:
        return [f"class {k}" for k in range(CLASSES)]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, 4, 8, 8)

    def load(self, split: str) -> Clips:
        return Clips(self.videos, 1 if split == "train" else VIEWS, split != "predict")


class TinyC3D(Backbone):
    """One convolution, so that a plug has a place, and a linear classifier.

    In double precision, its float32 logits of a clip are the same whatever the size of the batch: not so in single.
    """

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__(num_classes, in_channels)
        self.conv = nn.Conv3d(in_channels, 8, 3, padding=1)
        self.fc = nn.Linear(8, num_classes)
        nn.init.normal_(self.fc.weight, std=6)  # far from uniform, each clip in its own way

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x.to(self.fc.weight)).relu().mean((2, 3, 4))).float()

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.conv(x.to(self.fc.weight))]


def task(**options: Any) -> ActionRecognition:
    torch.manual_seed(0)
    return ActionRecognition(TinyC3D, CLASSES, (3, 4, 8, 8), optimizer=partial(SGD, lr=0.1), **options)


def trainer(devices: int = 1, **options: Any) -> Trainer:
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if devices > 1 else "auto"
    return Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, use_distributed_sampler=False, **plain, **options
    )


def evaluate(videos: int, directory: Path, devices: int) -> dict[str, Any]:
    """Metrics, outcomes and predictions; the same on every process."""
    module, data, path = task().double(), FewVideos(videos), directory / f"{videos}"
    with_table = trainer(devices, callbacks=[PredictionsCSV(path)])
    tested = with_table.test(module, data, verbose=False)[0]
    validated = with_table.validate(module, data, verbose=False)[0]
    validated.pop("val/loss")  # a mean of the processes' means: its last digits depend on their number
    with_table.predict(module, data, return_predictions=False)
    with_table.strategy.barrier()
    return {
        "metrics": tested | validated,
        "outcomes": {name: values.tolist() for name, values in module.outcomes.items()},
        "missing": module.missing.tolist(),
        "confusion": module.confusion.to_dense().tolist(),
        "predictions": [
            line.rpartition(",")[0] for line in (path / "predictions.csv").read_text().splitlines()
        ],  # without the seconds
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    results = {str(videos): evaluate(videos, place, devices=world) for videos in CASES}
    (place / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(results))
