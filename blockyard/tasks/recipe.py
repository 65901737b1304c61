"""How a task would start on data of one's own: a network of fitting size, an optimiser, a schedule."""

from __future__ import annotations

from typing import Any, ClassVar

from blockyard.datamodules import DataModule
from blockyard.datamodules.suggesting import FEW, Choice

MANY = 20_000
"""With as many training samples a network of millions of parameters finds enough to learn."""
MAPPED = 64
"""Positions along a side of the first stage's map that are enough for a network of three stages."""
WARM = 20
"""One epoch in so many warms up."""


class Recipe:
    """What a task suggests; a mixin, by default of those that suggest nothing."""

    learns_from: ClassVar[tuple[str, ...]] = ()
    """What samples of its data are, as :attr:`~blockyard.datamodules.DataModule.samples_are` has it; empty for any."""

    @classmethod
    def suits(cls, data: DataModule) -> bool:
        """Whether it is made for data."""
        return data.samples_are in cls.learns_from

    @classmethod
    def suggest(cls, data: DataModule, trained: Choice | None, epochs: int) -> dict[str, Choice]:
        """Options of the task to start with.

        Args:
            data: Read as they will be.
            trained: A backbone with trained weights; None starts from nothing.
            epochs: Of the run.

        Raises:
            ValueError: If the trained network can't see such data.
        """
        if trained and trained.value["class_path"] == "TimmBackbone" and len(cls.positions(data)) == 1:
            raise ValueError(f"{cls.__name__} sees series, and networks of timm see pictures: leave these weights away")
        rate, why = 2e-3, "what small networks with batch norm take from the start"
        if trained:
            rate, why = 3e-4, "a tenth of it would hardly move, ten times it forget what was trained"
        optimizer = {"class_path": "AdamW", "init_args": {"lr": rate, "weight_decay": 0.05}}
        return {
            "backbone": trained or cls.untrained(data),
            "block": Choice(None, "blockyard describe --config this file lists the places where a block can go"),
            "at": Choice(None, "such as stage2.0"),
            "optimizer": Choice(optimizer, why),
            "lr_scheduler": Choice("cosine", "to zero over the whole run, so that its end is its best part"),
            "warmup_epochs": Choice(epochs // WARM, "a twentieth of the run, while statistics settle"),
        }

    @classmethod
    def untrained(cls, data: DataModule, **options: Any) -> Choice:
        """A network that learns from nothing, as large as the number of samples lets it be.

        Args:
            data: Read as they will be.
            options: Of the network, over what is chosen here.
        """
        shape, samples = cls.positions(data), len(data.split("train"))
        if samples >= MANY and len(shape) == 2 and min(shape) > MAPPED:
            large = {"class_path": "TimmBackbone", "init_args": {"name": "resnet18"}}
            return Choice(large, f"{samples:,} samples are enough for 11 million parameters; resnet50 may be better")
        depth, why = (8, "few: three units") if samples < FEW else (20, "nine units")
        stride = 1
        while max(shape) > MAPPED * stride and stride < 4:
            stride *= 2
        chosen: dict[str, Any] = {
            "depth": depth,
            "width": 32,
            "dropout": 0.0,
            "spatial_dims": len(shape),
            "stem_stride": stride,
        }
        reason = f"{samples:,} samples to learn from are {why}, for inputs of {'×'.join(map(str, shape))}"
        return Choice({"class_path": "PreResNet", "init_args": chosen | options}, reason)

    @classmethod
    def positions(cls, data: DataModule) -> tuple[int, ...]:
        """Positions ``S`` of what the backbone sees."""
        return data.input_shape[1:]
