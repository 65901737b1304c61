"""Steps that can be undone: for the backward pass nothing is kept of them but what the last one gives.

Gomez et al., The Reversible Residual Network: Backpropagation Without Storing Activations, NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.utils.checkpoint import get_device_states, set_device_states

LEAST = 1e-3
"""The least size of a factor, so that it can be divided by."""


@dataclass(frozen=True)
class Step:
    """One map of several becomes a · itself + f(others), which a ≠ 0 and the others undo.

    Attributes:
        target: Which map changes.
        sources: Which maps f reads, in this order; the target is not among them.
        function: f, of maps ``(B, C_i, *S_i)``, to the shape of the target; it leaves them as they are.
        scale: a, one number a channel ``(C,)``, by size :data:`LEAST` at least; None is 1.
    """

    target: int
    sources: tuple[int, ...]
    function: nn.Module
    scale: nn.Parameter | None = None

    def added(self, maps: Sequence[Tensor]) -> Tensor:
        """What f adds to the target, ``(B, C, *S)``."""
        return self.function(*(maps[i] for i in self.sources)).to(maps[self.target].dtype)

    def run(self, maps: Sequence[Tensor]) -> Tensor:
        """What the target becomes, ``(B, C, *S)``."""
        old = maps[self.target]
        return self.added(maps) + (old if self.scale is None else factor(self.scale, old) * old)

    def undo(self, maps: Sequence[Tensor]) -> Tensor:
        """What the target was, ``(B, C, *S)``."""
        rest = maps[self.target] - self.added(maps)
        return rest if self.scale is None else rest / factor(self.scale, rest)


def factor(scale: Tensor, like: Tensor) -> Tensor:
    """What a map ``(B, C, *S)`` is multiplied by; numbers held at :data:`LEAST` have their gradient all the same."""
    held = torch.where(scale < 0, scale.clamp(max=-LEAST), scale.clamp(min=LEAST))
    return (scale + (held - scale).detach()).view(-1, *(1,) * (like.dim() - 2)).to(like.dtype)


def recomputing() -> bool:
    """Whether there is a backward pass to compute anything again in, and no compiler that decides what is kept."""
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def run(steps: Sequence[Step], maps: Sequence[Tensor], *, recompute: bool = True) -> list[Tensor]:
    """What all maps are after the steps, one step after another.

    Going backward, each step is undone and f is computed again, with the same random numbers and the same precision;
    running statistics move once. Each step divides rounding errors by the size of a. What a hook sees inside has no
    gradient, and there are no second derivatives. Under ``torch.compile`` and in an export the steps are plain
    operations, of which the compiler keeps what it likes.

    Args:
        steps: The steps.
        maps: Each ``(B, C_i, *S_i)``.
        recompute: Whether to compute again; if not, autograd keeps everything, as ever.
    """
    now = list(maps)
    if steps and recompute and recomputing():
        targets = sorted({step.target for step in steps})
        parameters = {id(p): p for step in steps for p in _parameters(step) if p.requires_grad}
        given = _Recomputed.apply(steps, targets, len(now), *now, *parameters.values())
        for target, value in zip(targets, given, strict=True):
            now[target] = value
        return now
    for step in steps:
        now[step.target] = step.run(now)
    return now


def undo(steps: Sequence[Step], maps: Sequence[Tensor]) -> list[Tensor]:
    """What all maps were before the steps, each ``(B, C_i, *S_i)``."""
    now = list(maps)
    for step in reversed(steps):
        now[step.target] = step.undo(now)
    return now


def _parameters(step: Step) -> list[nn.Parameter]:
    return [*step.function.parameters(), *([] if step.scale is None else [step.scale])]


class _Moment:
    """What a run of a step depends on besides the maps, as it was before.

    Args:
        step: The step.
        maps: The maps, any of which says where random numbers come from.
    """

    def __init__(self, step: Step, maps: Sequence[Tensor]) -> None:
        self.step, function = step, step.function
        self.parameters = dict(function.named_parameters(remove_duplicate=False))
        self.buffers = dict(function.named_buffers(remove_duplicate=False))
        if function.training:  # statistics move; tables of whole numbers stay, and may be large
            self.buffers |= {name: b.clone() for name, b in self.buffers.items() if b.is_floating_point()}
        self.devices, states = get_device_states(*maps)
        self.draws = [torch.get_rng_state(), *states]

    def run(self, maps: list[Tensor]) -> Tensor:
        """What the target becomes; where nothing was drawn, nothing is kept of what would have been."""
        result = self.step.run(maps)
        if all(map(torch.equal, self.draws, [torch.get_rng_state(), *get_device_states(*maps)[1]])):
            self.draws = []
        return result

    def added(self, reads: Sequence[Tensor]) -> Tensor:
        """What f gave."""
        with ExitStack() as contexts:
            if self.draws:
                kind = reads[0].device.type if self.devices else "cuda"
                contexts.enter_context(torch.random.fork_rng(self.devices, device_type=kind))
                torch.set_rng_state(self.draws[0])
                set_device_states(self.devices, self.draws[1:], device_type=kind)
            buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}  # what moves, moved before
            given = self.parameters | buffers  # by all of their names, so that none need be tied
            return functional_call(self.step.function, given, tuple(reads), tie_weights=False)


class _Recomputed(torch.autograd.Function):
    """Runs steps and keeps the maps that come out."""

    @staticmethod
    def forward(
        ctx: Any, steps: Sequence[Step], targets: list[int], count: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """Run the steps on the first ``count`` tensors; the others are the parameters that they have."""
        maps, ctx.targets, ctx.moments = list(tensors[:count]), targets, []
        ctx.parameters, ctx.precision = tensors[count:], _precision(maps[0].device)
        ctx.versions = [parameter._version for parameter in ctx.parameters]
        with _autocast(*ctx.precision):  # without a cache, whose weights would be without a gradient
            for step in steps:
                ctx.moments.append(_Moment(step, maps))
                maps[step.target] = ctx.moments[-1].run(maps)
        ctx.save_for_backward(*maps)
        return tuple(maps[target] for target in targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Undo the steps from the last to the first, with the gradients of what each read."""
        if ctx.versions != [parameter._version for parameter in ctx.parameters]:
            raise RuntimeError("a parameter was changed before the backward pass, which computes maps again with it")
        maps = list(ctx.saved_tensors)
        of_maps: dict[int, Tensor] = dict(zip(ctx.targets, slopes, strict=True))
        of_parameters: dict[int, Tensor] = {}
        with _autocast(*ctx.precision):
            for moment in reversed(ctx.moments):
                _undo(moment, maps, of_maps, of_parameters)
        found = [of_parameters.get(id(parameter)) for parameter in ctx.parameters]
        return (None, None, None, *(of_maps.get(i) for i in range(len(maps))), *found)


def _undo(moment: _Moment, maps: list[Tensor], of_maps: dict[int, Tensor], of_parameters: dict[int, Tensor]) -> None:
    """Bring maps and gradients to where they were before a step."""
    step, learning = moment.step, [*{id(p): p for p in moment.parameters.values() if p.requires_grad}.values()]
    target, slope = step.target, of_maps[step.target]
    reads = [maps[i].detach().requires_grad_() for i in step.sources]
    with torch.enable_grad():
        added = moment.added(reads).to(maps[target].dtype)
    found = torch.autograd.grad(added, [*reads, *learning], slope, allow_unused=True)
    _gather(of_maps, step.sources, found[: len(reads)])
    _gather(of_parameters, [id(parameter) for parameter in learning], found[len(reads) :])
    maps[target] = maps[target] - added.detach()
    if step.scale is not None:
        by = factor(step.scale.detach(), slope)
        maps[target] = maps[target] / by
        if step.scale.requires_grad:
            others = [axis for axis in range(slope.dim()) if axis != 1]
            _gather(of_parameters, [id(step.scale)], [(slope * maps[target]).sum(others).to(step.scale.dtype)])
        of_maps[target] = slope * by


def _gather(sums: dict[int, Tensor], keys: Sequence[int], values: Sequence[Tensor | None]) -> None:
    for key, value in zip(keys, values, strict=True):
        if value is not None:
            sums[key] = sums[key] + value if key in sums else value


def _precision(device: torch.device) -> tuple[str, torch.dtype, bool]:
    kind = device.type if torch.amp.is_autocast_available(device.type) else "cpu"
    return kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)


def _autocast(kind: str, dtype: torch.dtype, enabled: bool) -> AbstractContextManager[Any]:
    return torch.autocast(kind, dtype, enabled, cache_enabled=False)
