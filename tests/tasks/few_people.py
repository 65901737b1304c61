"""A script: trains one step and evaluates on a few tracklets, alone or as one of the processes of WORLD_SIZE."""

from __future__ import annotations

import json
import os
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.optim import SGD

from blockyard.backbones import Backbone, Stage
from blockyard.datamodules import MARS
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians
from blockyard.tasks import PersonReID

SIZE = (32, 16)


class Small(Backbone):
    """One convolution: no batch statistics, so that gradients of a global batch are those of its parts."""

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__(num_classes, in_channels)
        self.conv = nn.Conv3d(in_channels, 8, (1, 3, 3), (1, 2, 2))
        self.stages = (Stage("conv", 8, 2),)

    def forward(self, x):
        return self.features(x)[-1].mean((2, 3, 4))

    def features(self, x):
        return [self.conv(x)]


def data(root: Path, **options: Any) -> MARS:
    mine = {
        "verify": False,
        "val_identities": 0,
        "size": SIZE,
        "frames": 2,
        "stride": 1,
        "num_workers": 0,
        "batch_size": 4,
    }
    return MARS(root, **mine | {"instances": 2, "seed": 0} | options)


def task(**options: Any) -> PersonReID:
    torch.manual_seed(0)
    module = PersonReID(Small, 4, (3, 2, *SIZE), optimizer=partial(SGD, lr=0.1), **options)
    module.network.neck = nn.Identity()  # its batch statistics are a process's own
    return module.double()


def trainer(devices: int = 1, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if devices > 1 else "auto"
    return Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, use_distributed_sampler=False, **quiet | options
    )


class Doubles(MARS):
    """Inputs as float64: equal sums then differ in digits that nobody looks at."""

    def on_before_batch_transfer(self, batch, dataloader_idx):
        batch["input"] = batch["input"].double()
        return super().on_before_batch_transfer(batch, dataloader_idx)


def evaluate(root: Path, devices: int) -> dict[str, Any]:
    module = task()
    few = data(root)
    few.__class__ = Doubles
    tested = trainer(devices).test(module, few, verbose=False)[0]
    features = module.features.tolist()
    scores = {name: values.tolist() for name, values in module.sample_scores.items()}
    trained = task(metric_options={"margin": 5.0})  # so large that every triplet counts
    few = data(root)
    few.__class__ = Doubles
    trainer(devices, max_steps=1, limit_val_batches=0, max_epochs=1).fit(trained, few)
    return {
        "metrics": tested,
        "scores": scores,
        "features": features,
        "weights": trained.network.backbone.conv.weight.flatten().tolist(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    rank = os.environ.get("LOCAL_RANK", "0")
    written = write_tiny_pedestrians(place / f"data{rank}", "mars")
    (place / f"{rank}.json").write_text(json.dumps(evaluate(written, world)))
