"""A network for tests on clusters: it can wait in the middle of a training for something to happen to its process."""

from __future__ import annotations

import os
import time
from pathlib import Path

from torch import Tensor, nn

from blockyard.backbones import Backbone, Stage

CALL = 14
"""The forward pass that waits, in the fourth epoch of a training."""


class Held(Backbone):
    """Two convolutions with group normalisation, so that the result is the same however a batch is dealt out.

    Where the environment names a folder in HELD, the process whose rank is in HELD_RANK writes its number to ``ready``
    there, once, and waits for ``go``.
    """

    def __init__(self, num_classes: int, in_channels: int = 1) -> None:
        super().__init__(num_classes, in_channels)
        self.stage = nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.head = nn.Linear(8, num_classes)
        self.stages = (Stage("stage", 8, 2),)
        self.calls = 0

    def features(self, x: Tensor) -> list[Tensor]:
        """The one map."""
        return [self.stage(x)]

    def forward(self, x: Tensor) -> Tensor:
        """Classify, having waited or not."""
        self.calls += self.training
        rank = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
        if "HELD" in os.environ and self.calls == CALL and rank == os.environ["HELD_RANK"]:
            wait(Path(os.environ["HELD"]))
        return self.head(self.stage(x).mean((2, 3)))


def wait(folder: Path) -> None:
    """Say which process this is, and wait to be let go, the first time only."""
    try:
        with (folder / "ready").open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return
    while not (folder / "go").exists():
        time.sleep(0.05)
