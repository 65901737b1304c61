"""The affine map that a network is at one input: all that its nonlinear functions did there, held.

Activations are held as factors of their inputs, maxima as the positions that they came from, and gates, attention
weights, affinities between positions and the deviations that norms divide by as what they were. What remains is
y = A x + b (after Pan et al., A Tour of Convolutional Networks Guided by Linear Interpreters, ICCV 2019).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.analysis.held import Holding
from blockyard.blocks.nonlocals.filters import GraphFilterBlock

EXACT = 1e-9
"""What sums in float64 differ by at most in a deep network, in units of the largest output."""


@dataclass(frozen=True)
class AffineMap:
    """y = A x + b, which a network is at x and agrees with there.

    Attributes:
        network: A copy, float64, in evaluation.
        kept: What its nonlinear functions did, in their order.
        input: x, ``(1, C, *S)``.
        output: y, ``(1, K)`` or another shape.
    """

    network: nn.Module
    kept: list[Any]
    input: Tensor
    output: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """A x + b of another input of the same shape."""
        return _run(self.network, x, self.kept, again=True)

    @cached_property
    def constant(self) -> Tensor:
        """b: what becomes of zeros."""
        with torch.no_grad():
            return self(torch.zeros_like(self.input))

    def row(self, *index: int) -> Tensor:
        """What each value of the input weighs in one of the output, ``(C, *S)``; of networks of ReLU the gradient.

        Args:
            index: Which value of ``output[0]``.
        """
        x = torch.zeros_like(self.input).requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(self(x)[0][index], x)
        return found[0]

    def column(self, *index: int) -> Tensor:
        """What one value of the input adds to each of the output, per unit; ``output[0]``'s shape.

        Args:
            index: Which value of ``input[0]``.
        """
        x = torch.zeros_like(self.input)
        x[0][index] = 1
        with torch.no_grad():
            return (self(x) - self.constant)[0]


def affine_map(network: nn.Module, x: Tensor) -> AffineMap:
    """The affine map that a network is at an input.

    Args:
        network: Left as it is.
        x: ``(1, C, *S)``.

    Raises:
        ValueError: If something in the network stays nonlinear, such as a product of two maps.
    """
    network, x, kept = copy.deepcopy(network).double().eval(), x.double(), list[Any]()
    part: Any
    for part in network.modules():
        if getattr(part, "evaluation", None) == "auto":
            part.evaluation = "dense"  # the same, in steps that can be held, whatever the kernel
    with torch.no_grad():
        found = AffineMap(network, kept, x, _run(network, x, kept, again=False))
        _insist_on_affine(found)
    return found


def _insist_on_affine(found: AffineMap) -> None:
    """Compare with the network, and f(x + u) + f(x + v) with f(x + u + v) + f(x), in every module."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(found.input.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    x, seen = found.input, dict[str, list[tuple[Tensor, Tensor]]]()
    with _watching(found.network, seen):
        for point in (x, x + u, x + v, x + u + v):
            found(point)
    for name, calls in seen.items():
        given, made = zip(*calls, strict=True)
        if _straight(given) and not _straight(made):
            module = found.network.get_submodule(name)
            place = f"{type(module).__name__} at {name}" if name else type(module).__name__
            raise ValueError(f"the network is no affine map even with its activations held: {place} is not linear")
    if not _near(found(x), found.output):
        raise ValueError("the network does something else at each run, so that it is no map to be held")


def _straight(values: Sequence[Tensor]) -> bool:
    """Whether f(x) + f(x + u + v) is f(x + u) + f(x + v), of values at these four points, call by call."""
    calls = len(values) // 4
    here, first, second, both = (torch.cat([y.flatten() for y in values[i * calls :][:calls]]) for i in range(4))
    return _near(first + second - here, both)


def _near(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= EXACT * expected.abs().max().clamp_min(1))


@contextmanager
def _watching(network: nn.Module, seen: dict[str, list[tuple[Tensor, Tensor]]]) -> Iterator[None]:
    """Note what modules from tensor to tensor are given and give, those within others first."""

    def note(name: str) -> Any:
        def take(_: nn.Module, given: tuple[Any, ...], y: Any) -> None:
            if given and isinstance(given[0], Tensor) and isinstance(y, Tensor):
                # what a module gives may be written over
                seen.setdefault(name, []).append((given[0].clone(), y.clone()))

        return take

    handles = [module.register_forward_hook(note(name)) for name, module in network.named_modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run(network: nn.Module, x: Tensor, kept: list[Any], again: bool) -> Tensor:
    """The network under :class:`Holding`, with the affinities of its graph blocks among what is held."""
    mode = Holding(kept, again)
    blocks = [module for module in network.modules() if isinstance(module, GraphFilterBlock)]
    handles = [block.affinity.register_forward_hook(mode.hold) for block in blocks]
    try:
        with mode:
            output: Tensor = network(x)
            return output
    finally:
        for handle in handles:
            handle.remove()
