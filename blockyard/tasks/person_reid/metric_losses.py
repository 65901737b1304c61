"""Losses and miners of pytorch-metric-learning, by name."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from blockyard.mistakes import nearest

DEFAULTS: dict[str, dict[str, Any]] = {"TripletMarginLoss": {"margin": 0.3}}
MINERS = {"TripletMarginLoss": "BatchHardMiner"}
"""The miner that goes with a loss unless told otherwise."""


class MetricLoss(nn.Module):
    """A loss over the pairs or triplets of a batch of vectors ``(B, D)``, which a miner may choose.

    Args:
        loss: Name of a loss.
        options: Its options; classes and vector length are given to it if it asks for them.
        miner: Name of a miner; None is the one that goes with the loss, ``none`` no miner.
        num_classes: Classes K.
        features: Length D of a vector.

    Raises:
        ValueError: If there is no such loss, miner or option.
    """

    def __init__(self, loss: str, options: dict[str, Any], miner: str | None, num_classes: int, features: int) -> None:
        super().__init__()
        from pytorch_metric_learning import losses, miners

        kind = _find(losses, loss, "metric_loss")
        known = _parameters(kind)
        if wrong := sorted(set(options) - known):
            raise ValueError(f"metric_options: {loss} has no option {wrong[0]}; {nearest(wrong[0], known)}")
        given = {"num_classes": num_classes, "embedding_size": features}
        asked = {name: value for name, value in given.items() if name in known}
        self.loss = kind(**{**DEFAULTS.get(loss, {}), **asked, **options})
        name = miner or MINERS.get(loss, "none")
        self.miner = None if name == "none" else _find(miners, name, "miner")()

    def forward(self, vectors: Tensor, target: Tensor) -> Tensor:
        """Loss of vectors ``(B, D)`` with classes ``(B,)``; 0 where there are none."""
        if not len(vectors):
            return vectors.sum()
        chosen = None if self.miner is None else self.miner(vectors, target)
        return self.loss(vectors, target, chosen)


def _find(module: ModuleType, name: str, what: str) -> Any:
    known = [key for key, value in vars(module).items() if inspect.isclass(value) and not key.startswith("Base")]
    if name not in known:
        raise ValueError(f"{what}: pytorch-metric-learning has no {name}; {nearest(name, known)}")
    return getattr(module, name)


def _parameters(kind: type) -> set[str]:
    """Names of the options of a loss, those of the classes that it hands the rest to included."""
    names = {p for base in kind.__mro__ if "__init__" in vars(base) for p in inspect.signature(base).parameters}
    return names - {"self", "args", "kwargs"}
