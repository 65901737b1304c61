"""A unit or a stage that is run several times: depth without parameters."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from blockyard.blocks.base import Wrapper
from blockyard.blocks.stages.units import units_of

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class Recursion(Wrapper):
    """Y = P F(P F(… P F(x))): a unit, ``layer3.1``, or a whole stage again on what it gave, with the same weights.

    Of a stage whose first unit changes the shape, that unit runs once and the others again. Every pass has its own
    statistics of what the host normalises by running ones: those of both passes together fit neither. P is nothing, or
    the paper's non-linear projection, with weights of its own for every pass.

    Args:
        channels: Channels C of the map that the host gives.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        times: How often it runs; 1 is the host alone.
        ratio: Hidden channels / C of P; None is no P.
        host: What is run; ``plug`` hands it over.

    Raises:
        ValueError: If there is no host, ``times`` is not positive, or ``ratio`` leaves no hidden channel.
    """

    paper: ClassVar[str] = "Shen et al., Sliced Recursive Transformer, ECCV 2022"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        times: int = 2,
        ratio: float | None = None,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        assert host is not None
        if times < 1:
            raise ValueError(f"Recursion: times must be at least 1, got {times}")
        self.passes = nn.ModuleList(_Statistics(host) for _ in range(times - 1))
        made = (nn.Identity() if ratio is None else Projection(channels, ratio) for _ in range(times))
        self.projections = nn.ModuleList(made)

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to the shape that the host gives, ``(B, C, *S)``.

        Raises:
            ValueError: If the host changes the shape and has no units, or none but the first.
        """
        y: Tensor = host(x)
        again = {"": host} if y.shape == x.shape else self._others(host)
        first, *others = self.projections
        y = first(y)
        for statistics, project in zip(self.passes, others, strict=True):
            assert isinstance(statistics, _Statistics)
            for path, unit in again.items():
                y = functional_call(unit, statistics.of(unit, path), (y,))
            y = project(y)
        return y

    def _others(self, host: nn.Module) -> dict[str, nn.Module]:
        """The units behind the first by their paths in the host."""
        _, *others = units_of(host, "Recursion")
        if not others:
            raise ValueError("Recursion runs again on what came out, and the stage's only unit changes the shape")
        return {f"{path}.": module for path, module in host.named_modules() if any(module is unit for unit in others)}

    def check(self, host: nn.Module, x: Tensor) -> None:
        """Refuse a host whose second run would give another shape than its first.

        Raises:
            ValueError: If it would.
        """
        given, got = tuple(host(x).shape), tuple(self(host, x).shape)
        if given != got:
            raise ValueError(f"Recursion runs again on what came out, and {given[1:]} goes to {got[1:]} then")


class Projection(nn.Module):
    """P(x) = a x + b W' gelu(W LN(x)) at each position, ``(B, C, *S)`` to the same shape; a and b are numbers, first 1.

    Args:
        channels: C.
        ratio: Hidden channels / C.

    Raises:
        ValueError: If that leaves no hidden channel.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = int(ratio * channels)
        if hidden < 1:
            raise ValueError(f"Recursion: ratio={ratio} leaves no channel of {channels}")
        self.norm = nn.LayerNorm(channels, 1e-6)
        self.fc1, self.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.keep, self.add = (nn.Parameter(torch.ones(1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map each position."""
        projected = self.fc2(F.gelu(self.fc1(self.norm(x.movedim(1, -1))))).movedim(-1, 1)
        return self.keep * x + self.add * projected


class _Statistics(nn.Module):
    """A pass's running statistics of a host, by their paths in it; what is plugged into it later has one for all."""

    def __init__(self, host: nn.Module) -> None:
        super().__init__()
        for path, buffer in host.named_buffers():
            if path.rpartition(".")[2] in _RUNNING:
                self.register_buffer(_name(path), buffer.detach().clone())

    def of(self, unit: nn.Module, path: str) -> dict[str, Tensor]:
        """Those of a unit of the host, by their paths in the unit."""
        own = dict(self.named_buffers())
        names = {name: _name(path + name) for name, _ in unit.named_buffers()}
        return {name: own[key] for name, key in names.items() if key in own}


def _name(path: str) -> str:
    """A path without dots, the same whatever was plugged in on the way."""
    return "_".join(part for part in path.split(".") if part != "host")
