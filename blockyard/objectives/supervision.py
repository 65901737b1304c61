"""The task's own loss, and that of classifiers which see maps within the network and train alone."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.objectives.base import Learner, Logged, Objective
from blockyard.objectives.watching import watching
from blockyard.plugging import named_places, stage_paths, undisturbed

_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_WINDOW, _STEP = 5, 3


@runtime_checkable
class Labelling(Learner, Protocol):
    """A task whose samples have labels, and whose loss is of logits."""

    def mixed(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Samples ``(B, C, *S)`` and labels ``(B,)`` or ``(B, K)`` of a batch, mixed if they are to be."""

    def training_loss(self, x: Tensor, target: Tensor) -> Tensor:
        """The loss of samples and labels, by one forward pass."""

    def loss_of(self, features: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of logits ``(B, K)`` that were made of a map ``(B, C, *S)``."""


class Supervision(Objective):
    """What adds the losses of further classifiers to the task's own, all options of which hold for each."""

    adds: ClassVar[bool] = True
    slot: ClassVar[str] = "objective"

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Look whether there are labels; a subclass makes its heads here.

        Raises:
            ValueError: If this is no classification.
        """
        if not isinstance(task, Labelling):
            own, kind = type(self).__name__, type(task).__name__
            raise ValueError(f"objective: {own} adds to the loss of a classification's labels, which {kind} has not")


class AuxiliaryClassifiers(Supervision):
    """ℓ(f(x)) + Σᵢ wᵢ ℓ(hᵢ(mᵢ)), with a classifier h of a map m within the network f.

    The classifier of NASNet averages the map after a ReLU over windows of 5 positions along each axis, 3 apart, and
    leads through 128 channels, and 768 that see all positions at once, with a batch norm and a ReLU each (Zoph et al.,
    Learning Transferable Architectures for Scalable Image Recognition, CVPR 2018, and its published code). Where the
    map is smaller than a window, all of it is one. Other places in other networks may have the same, or the plainest:
    the mean over positions, a norm, and a linear classifier.

    ℓ is the task's own loss, smoothed and weighted as that is. Evaluation, exports and costs know of none of these.

    Args:
        at: Where the maps are, as plugs name places, behind what is plugged there; None is the last stage but one.
        weight: wᵢ, one for each, or one for all.
        head: NASNet's, of ``windows``, or the plainest, of the ``mean``.

    Raises:
        ValueError: If a weight is negative, or there is no such head.
    """

    paper: ClassVar[str] = "Zoph et al., Learning Transferable Architectures for Scalable Image Recognition, CVPR 2018"

    def __init__(
        self,
        at: str | list[str] | None = None,
        weight: float | list[float] = 0.4,
        head: Literal["windows", "mean"] = "windows",
    ) -> None:
        super().__init__()
        if min(weight if isinstance(weight, list) else [weight], default=0) < 0:
            raise ValueError(f"objective: weight={weight} must not be negative")
        if head not in ("windows", "mean"):
            raise ValueError(f"objective: head must be windows or mean, got {head!r}")
        self.at, self.weight, self.head = at, weight, head
        self.paths: list[str] = []
        self.heads = nn.ModuleList()

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Make a classifier for each map.

        Args:
            task: Holds the network, which knows its classes.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If this is no classification, a place is none, gives no map of each sample or is not passed
                once, or the weights are not one for each.
        """
        super().attach(task, input_shape)
        network: Any = task.network
        stages = list(stage_paths(network))
        if self.at is None and len(stages) < 2:
            raise ValueError("objective: AuxiliaryClassifiers has no last stage but one here: say at")
        at = [self.at] if isinstance(self.at, str) else self.at or [stages[-2]]
        self.paths = [place.path for pattern in at for place in named_places(network, pattern)]
        with undisturbed(network):
            with watching(network, self.paths) as seen:
                network(torch.zeros(1, *input_shape))
            for path in self.paths:
                maps = seen.get(path, [])
                if len(maps) != 1 or not isinstance(maps[0], Tensor) or len(maps[0]) != 1 or maps[0].dim() < 3:
                    raise ValueError(f"objective: AuxiliaryClassifiers sees no map (1, C, *S) of a sample at {path}")
                channels, classes, size = maps[0].shape[1], network.num_classes, tuple(maps[0].shape[2:])
                windows = self.head == "windows"
                self.heads.append(
                    WindowClassifier(channels, classes, size) if windows else PooledClassifier(channels, classes)
                )
        weights = self.weight if isinstance(self.weight, list) else [self.weight] * len(self.paths)
        if len(weights) != len(self.paths):
            raise ValueError(f"objective: weight has {len(weights)} numbers for {len(self.paths)} places")
        self.weights = weights

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The loss of ``input`` ``(B, C, *S)`` with its labels, and each classifier's own, by one forward pass."""
        x, target = task.mixed(batch)
        with watching(task.network, self.paths) as seen:
            loss = task.training_loss(x, target)
        logged = Logged()
        for number, (path, head, weight) in enumerate(zip(self.paths, self.heads, self.weights, strict=True), 1):
            (found,) = seen[path]
            logged[f"auxiliary{number}_loss"] = one = task.loss_of(found, head(found), target)
            loss = loss + weight * one
        return loss, logged


class PooledClassifier(nn.Module):
    """A linear classifier of the normed mean over positions, ``(B, C, *S)`` to ``(B, K)``.

    Args:
        channels: C.
        num_classes: K.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(channels, 1e-6), nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, K)`` of ``(B, C, *S)``."""
        return cast(Tensor, self.fc(self.norm(x.flatten(2).mean(2))))


class WindowClassifier(nn.Module):
    """The auxiliary classifier of NASNet, ``(B, C, *S)`` to ``(B, K)``; see :class:`AuxiliaryClassifiers`.

    Args:
        channels: C.
        num_classes: K.
        size: S, which it is made for.
        hidden: Channels of its two layers.
    """

    def __init__(
        self, channels: int, num_classes: int, size: tuple[int, ...], hidden: tuple[int, int] = (128, 768)
    ) -> None:
        super().__init__()
        rank = len(size)
        self.windows = tuple(min(_WINDOW, n) for n in size)
        left = [(n - window) // _STEP + 1 for n, window in zip(size, self.windows, strict=True)]
        layers = list[nn.Module]()
        for inside, outside, taps in ((channels, hidden[0], [1] * rank), (hidden[0], hidden[1], left)):
            conv = CONVOLUTIONS[rank](inside, outside, cast(Any, tuple(taps)), bias=False)
            layers += [conv, BATCH_NORMS[rank](outside, 1e-3), nn.ReLU()]
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(hidden[1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, K)`` of ``(B, C, *S)``."""
        pooled = _POOLS[x.dim() - 2](x.relu(), self.windows, _STEP)
        return cast(Tensor, self.fc(self.layers(pooled).flatten(1)))
