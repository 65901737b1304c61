"""A few parts of noisy photographs; as a script, restores them as one of the processes of WORLD_SIZE."""

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
from torch.optim import Adam

from blockyard.backbones import Stage
from blockyard.datamodules.loading import Split
from blockyard.samples.modules.noisy_photographs import NoisyPhotographs
from blockyard.tasks.restoration import ImageRestoration

CASES = (5, 1)
"""Test pictures: divides unevenly by two processes; leaves one without any."""


class Few(NoisyPhotographs):
    """The first ``tested`` test pictures alone."""

    def __init__(self, tested: int = 60, **options: Any) -> None:
        super().__init__(**{"size": 16, "samples": 64, "batch_size": 4, "seed": 0} | options)
        self.tested = tested

    def load(self, split: str) -> Split:
        found: Any = super().load(split)
        if split != "train":
            found.names, found.tiles = found.names[: self.tested], found.tiles[: self.tested]
        return found


class TinyMaps(nn.Module):
    """Two stages of stride 1 and 4."""

    stages = (Stage("first", 8, 1), Stage("second", 16, 4))

    def __init__(self, num_classes: int = 0, in_channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 8, 3, 1, 1)
        self.second = nn.Conv2d(8, 16, 3, 4, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.first(x).relu()
        return [first, self.second(first).relu()]


def task(**options: Any) -> ImageRestoration:
    torch.manual_seed(0)
    plain = {"backbone": TinyMaps, "input_shape": (3, 16, 16), "optimizer": partial(Adam, lr=0.01), "width": 8}
    module = ImageRestoration(**(plain | options))
    nn.init.normal_(module.network.damage.weight, std=0.05)  # it begins with pictures as they came
    return module


def trainer(devices: int = 1, **options: Any) -> Trainer:
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if devices > 1 else "auto"
    return Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, use_distributed_sampler=False, **(plain | options)
    )


def evaluate(pictures: int, devices: int) -> dict[str, Any]:
    module, data, runner = task(), Few(pictures), trainer(devices)
    tested = runner.test(module, data, verbose=False)[0]
    validated = runner.validate(module, data, verbose=False)[0]
    scores = {name: values.tolist() for name, values in module.sample_scores.items()}
    return {"tested": tested, "validated": validated, "scores": scores}


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    results = {str(pictures): evaluate(pictures, devices=world) for pictures in CASES}
    (place / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(results))
    os._exit(0)  # torch may abort in a destructor once all is written
