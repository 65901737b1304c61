"""Parts of a network that learn by themselves, each by a classifier and by giving its own input again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.backbones import FrontEnded
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.objectives.base import Learner, Logged
from blockyard.objectives.intermediate_supervision import cropped, unfolded
from blockyard.objectives.piecewise import Piecewise, Taken
from blockyard.objectives.supervision import PooledClassifier, Supervision
from blockyard.plugging import named_places, undisturbed

End = Callable[[int, Tensor], Tensor]


class LocalReconstruction(Piecewise, Supervision):
    """Σₖ ℓ(hₖ(mₖ)) + λ ‖dₖ(mₖ) - mₖ₋₁‖² / n + ℓ(f(x)), with no gradient from a part of the network to the one before.

    The network is K parts, one behind the other, with maps m ``(B, C, *S)``, and m₀ the samples, or what a front end
    makes of them. Each part but the last
    has a classifier h of its map and a decoder d that gives the part's own input again, as the mean squared error of
    its n numbers; the last has the network's classifier (Pathak et al., Local Learning on Transformers via Feature
    Reconstruction, arXiv 2022). A part's gradients are taken as soon as it has run, so that nothing of it is kept when
    the next one runs: the memory of activations is that of the largest part. With one part it is the task's own loss.

    h is a norm of the mean over positions and a linear classifier; d a depthwise convolution of 3 taps along each axis,
    and of every position a patch of the input. ℓ is the task's own loss, smoothed and weighted as that is. Exports and
    costs know of no such head.

    It makes its own steps, so that accumulation and clipping by the trainer are refused.

    Args:
        parts: K, by units of the stages, as equal in number as can be; or the K - 1 places behind which parts end, as
            plugs name places, behind what is plugged there.
        weight: λ.

    Raises:
        ValueError: If there is no part, or λ is negative.
    """

    paper: ClassVar[str] = "Pathak et al., Local Learning on Transformers via Feature Reconstruction, arXiv 2022"

    def __init__(self, parts: int | str | list[str] = 2, weight: float = 1.0) -> None:
        super().__init__()
        if weight < 0 or (isinstance(parts, int) and parts < 1):
            raise ValueError(
                f"objective: LocalReconstruction has at least 1 part and no negative weight; got {parts} and {weight}"
            )
        self.parts, self.weight = parts, weight
        self.paths: list[str] = []
        self.channels: list[int] = []
        self.classifiers, self.decoders = nn.ModuleList(), nn.ModuleList()

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Find the borders, and make a classifier and a decoder for each.

        Args:
            task: Holds the network.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If this is no classification, a place is none, gives no map or is not passed once, or a gradient
                passes a border by another way.
        """
        super().attach(task, input_shape)
        network: Any = task.network
        self.paths = self._borders(network)
        self.channels = [_channels(network, path) for path in self.paths]
        maps = list[Tensor]()
        inputs = [torch.zeros(1, *input_shape)]
        with undisturbed(network), torch.enable_grad():

            def end(_: int, found: Tensor) -> Tensor:
                maps.append(found)
                return found.detach()

            with self._cut(network, end, inputs):
                last = network(inputs[0])
            if len(maps) != len(self.paths):
                raise ValueError(f"objective: LocalReconstruction: not every one of {self.paths} is passed once")
            self._refuse_other_ways(network, [*maps, last])
            before = inputs[0]
            for number, found in enumerate(maps):
                now = self._map(number, found, before.dim())
                classifier = PooledClassifier(now.shape[1], network.num_classes)
                self.classifiers.append(classifier.to(now.dtype))
                self.decoders.append(InputDecoder(now.shape, before.shape).to(now.dtype))
                before = now

    def pieces(self, task: Any, batch: dict[str, Any], taken: Taken) -> tuple[Tensor, Logged]:
        """The sum over the parts for ``input`` ``(B, C, *S)`` with its labels, by one forward pass."""
        x, target = task.mixed(batch)
        inputs, losses, logged = [x], list[Tensor](), Logged()

        def end(number: int, found: Tensor) -> Tensor:
            now = self._map(number, found, inputs[0].dim())
            told = task.loss_of(now, self.classifiers[number](now), target)
            given = F.mse_loss(self.decoders[number](now), inputs.pop())
            logged[f"part{number + 1}_loss"] = told.detach()
            logged[f"part{number + 1}_input_loss"] = given.detach()
            losses.append(taken(told + self.weight * given))
            inputs.append(now.detach())
            return found.detach().clone()  # what follows may write into it

        with self._cut(task.network, end, inputs):
            own = task.training_loss(x, target)
        return taken(own) + sum(losses), logged

    def _borders(self, network: nn.Module) -> list[str]:
        """Paths of the places behind which a part ends."""
        if not isinstance(self.parts, int):
            patterns = [self.parts] if isinstance(self.parts, str) else self.parts
            return [place.path for pattern in patterns for place in named_places(network, pattern)]
        if self.parts == 1:
            return []
        units = [place.path for place in named_places(network, "stage*.*")]
        if len(units) < self.parts:
            raise ValueError(f"objective: LocalReconstruction: {len(units)} units are no {self.parts} parts")
        return [units[len(units) * number // self.parts - 1] for number in range(1, self.parts)]

    @contextmanager
    def _cut(self, network: nn.Module, end: End, inputs: list[Tensor]) -> Iterator[None]:
        """Hand on what ``end`` makes of the number of a part and what it gave; a front end's maps are the input."""

        def cut(number: int) -> Any:
            return lambda _, __, output: end(number, output)

        def begin(_: nn.Module, __: Any, output: Tensor) -> None:
            inputs[:] = [output.detach()]

        places = [place for path in self.paths for place in named_places(network, path)]
        handles = [place.module.register_forward_hook(cut(number)) for number, place in enumerate(places)]
        if isinstance(network, FrontEnded):
            handles.append(network.front_end.register_forward_hook(begin))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _map(self, number: int, found: Any, dims: int) -> Tensor:
        """What a part gave as a map ``(B, C, *S)``; networks of windows have their channels last.

        Raises:
            ValueError: If it is none.
        """
        channels = self.channels[number]
        if isinstance(found, Tensor) and found.dim() == dims > 2:
            if channels in (0, found.shape[1]):
                return found
            if channels == found.shape[-1]:
                return found.movedim(-1, 1)
        raise ValueError(f"objective: LocalReconstruction sees no map (B, C, *S) at {self.paths[number]}")

    def _refuse_other_ways(self, network: nn.Module, results: list[Tensor]) -> None:
        """See that no parameter has a gradient of two parts."""
        names, parameters = zip(*((n, p) for n, p in network.named_parameters() if p.requires_grad), strict=True)
        owner: dict[str, int] = {}
        for number, result in enumerate(results, 1):
            slopes = (
                torch.autograd.grad(result.sum(), parameters, allow_unused=True, retain_graph=True)
                if result.requires_grad
                else [None] * len(parameters)
            )
            for name in (name for name, slope in zip(names, slopes, strict=True) if slope is not None):
                if owner.setdefault(name, number) != number:
                    said = f"{name} is reached from part {owner[name]} and from part {number}"
                    raise ValueError(f"objective: LocalReconstruction: {said}: say other places")


class InputDecoder(nn.Module):
    """The input of a part, of its map: ``(B, C, *S)`` to ``(B, C₀, *S₀)``.

    Args:
        given: Shape of the map.
        wanted: Shape of the input, as large at least.
    """

    def __init__(self, given: torch.Size, wanted: torch.Size) -> None:
        super().__init__()
        conv = CONVOLUTIONS[len(given) - 2]
        self.sides = [-(-n // m) for n, m in zip(wanted[2:], given[2:], strict=True)]
        self.size = wanted[2:]
        self.near = conv(given[1], given[1], 3, padding=1, groups=given[1])
        self.patches = conv(given[1], wanted[1] * math.prod(self.sides), 1)

    def forward(self, x: Tensor) -> Tensor:
        """A patch of the input ``(B, C₀, *S₀)`` for each position of a map ``(B, C, *S)``."""
        return cropped(unfolded(self.patches(F.gelu(self.near(x))), self.sides), self.size)


def _channels(network: Any, path: str) -> int:
    """Channels of the stage that a place lies in; 0 if it lies in none."""
    inside = (stage.channels for stage in network.stages if f"{path}.".startswith(f"{stage.path}."))
    return cast(int, next(inside, 0))
