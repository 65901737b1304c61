"""A unit or a stage that is run several times: depth without parameters."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.func import functional_call

from blockyard.blocks.base import Wrapper
from blockyard.blocks.stages.units import units_of

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class Recursion(Wrapper):
    """Y = F(F(… F(x))): a unit, ``layer3.1``, or a whole stage again on what it gave, with the same weights.

    Of a stage whose first unit changes the shape, that unit runs once and the others again. Every pass has its own
    statistics of what the host normalises by running ones: those of both passes together fit neither.

    Args:
        channels: Channels C of the map that the host gives.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        times: How often it runs; 1 is the host alone.
        host: What is run; ``plug`` hands it over.

    Raises:
        ValueError: If there is no host or ``times`` is not positive.
    """

    paper: ClassVar[str] = "Shen et al., Sliced Recursive Transformer, ECCV 2022"

    def __init__(self, channels: int, spatial_dims: int = 2, *, times: int = 2, host: nn.Module | None = None) -> None:
        super().__init__(channels, spatial_dims, host=host)
        assert host is not None
        if times < 1:
            raise ValueError(f"Recursion: times must be at least 1, got {times}")
        self.passes = nn.ModuleList(_Statistics(host) for _ in range(times - 1))

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to the shape that the host gives, ``(B, C, *S)``.

        Raises:
            ValueError: If the host changes the shape and has no units, or none but the first.
        """
        y: Tensor = host(x)
        again = {"": host} if y.shape == x.shape else self._others(host)
        for statistics in self.passes:
            assert isinstance(statistics, _Statistics)
            for path, unit in again.items():
                y = functional_call(unit, statistics.of(unit, path), (y,))
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
