"""A script: trains a small network on digits for three steps, alone or as one of the processes of WORLD_SIZE."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import Backbone, ElasticMobileNet, PreResNet, Stage
from blockyard.datamodules import Digits
from blockyard.objectives import Guidance, LocalReconstruction, ProgressiveShrinking, Rotation, SortedNet
from blockyard.tasks import ImageClassification
from blockyard.training.bias_loss import BiasLoss
from blockyard.training.ema import EMA
from blockyard.training.gradient_activation import GradientActivation


class Plain(Backbone):
    """One convolution without statistics over the batch, which are each process's own, in double precision."""

    stages = (Stage("conv", 8, 1),)

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.conv, self.fc = nn.Conv2d(in_channels, 8, 3, 2), nn.Linear(8, num_classes)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.map_and_logits(x)[1]

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.conv(x.double()).relu()]

    def map_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        (last,) = self.features(x)
        return last, self.fc(last.flatten(2).mean(2))


class Residual(PreResNet):
    """A network with prefixes, whose norms use the statistics of the beginning, in double precision."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels, depth=8, dropout=0.0, width=4)
        self.double().eval()  # training begins in whatever mode the modules are

    def features(self, x: Tensor) -> list[Tensor]:
        return super().features(x.double())

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class Elastic(ElasticMobileNet):
    """A network with others within, otherwise as the one above."""

    def __init__(self, num_classes: int, in_channels: int, **options: Any) -> None:
        small = {"widths": [8], "depths": 2, "kernels": 5, "expansions": 4.0, "strides": [1], "gated": [True]}
        super().__init__(num_classes, in_channels, **{**small, "last": None, "hidden": None, **options})
        self.double().eval()

    def features(self, x: Tensor) -> list[Tensor]:
        return super().features(x.double())

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


class OwnExtremes(BiasLoss):
    """What the loss must not do: scale by the extremes of a process."""

    def weights(self, features: Tensor) -> Tensor:
        return BiasLoss(self.alpha, self.beta).eval().weights(features)


class TooEarly(GradientActivation):
    """What the callback must not do: activate what each process found, before it is averaged."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        for parameter in pl_module.parameters():
            parameter.register_hook(self.activate)

    def on_before_optimizer_step(self, *args: Any) -> None:
        pass


class OwnSum(nn.CrossEntropyLoss):
    """What the weighted loss must not do: divide by the weights of a process's own samples."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, self.weight.to(input.dtype))


class OwnBatch(Guidance):
    """What the objective must not do: compare the samples of each process by themselves."""

    def whole_batch(self, task: Any, x: Tensor) -> Tensor:
        return x.flatten(1)


WEIGHTS = [0.25, 1.0, 4.0, 1.0, 1.0, 0.0, 1.0, 2.0, 1.0, 8.0]
TRAININGS: dict[str, tuple[dict[str, Any], list[Callback], int]] = {
    "cross entropy": ({}, [], 1),
    "bias loss": ({"loss": BiasLoss}, [], 1),
    "bias loss of each process": ({"loss": OwnExtremes}, [], 1),
    "activated gradient": ({}, [GradientActivation()], 1),
    "activated update": ({}, [GradientActivation(stage="update")], 1),
    "activated before the processes agree": ({}, [TooEarly()], 1),
    "all, accumulated": ({"loss": BiasLoss}, [GradientActivation()], 2),
    "weighted": ({"class_weights": WEIGHTS}, [], 1),
    "weighted by each process": ({"class_weights": WEIGHTS, "loss": OwnSum}, [], 1),
    "balanced": ({"class_weights": "balanced"}, [], 1),
    "frozen": ({"freeze": ["conv"]}, [EMA(0.5)], 1),
    "drawn alike": ({}, [], 1),
    "turned": ({"objective": Rotation()}, [], 1),
    "guided": ({"objective": Guidance(Plain)}, [], 1),
    "in parts": ({"objective": LocalReconstruction("conv")}, [], 1),
    "prefixes": ({"backbone": Residual, "objective": SortedNet()}, [], 1),
    "shrunk": (
        {"backbone": Elastic, "objective": ProgressiveShrinking([3], [1], [2], begins=[0.3, 0.3, 0.6])},
        [],
        1,
    ),
    "guided by each process": ({"objective": OwnBatch(Plain)}, [], 1),
}
"""Options of the task, callbacks, batches a step."""


def train(name: str, devices: int) -> list[float]:
    """The weights after three steps."""
    options, callbacks, accumulate = TRAININGS[name]
    seed_everything(0)
    optimizer = partial(SGD, lr=0.5, momentum=0.9, weight_decay=0.01)
    options = {"backbone": Plain, "num_classes": 10, "input_shape": (1, 8, 8), "optimizer": optimizer, **options}
    module = ImageClassification(**options)
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=3,
        accumulate_grad_batches=accumulate,
        limit_val_batches=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )
    trainer.fit(module, Digits("8x8", batch_size=8, class_sampling="balanced" if name == "drawn alike" else None))
    module.network.register_buffer("own", torch.full((), float(trainer.global_rank)))
    module.on_validation_epoch_start()
    assert not module.network.get_buffer("own"), "statistics of a process other than the first are validated"
    return [value for parameter in module.parameters() for value in parameter.flatten().tolist()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    found = {name: train(name, devices=world) for name in TRAININGS}
    (place / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(found))
