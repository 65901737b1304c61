"""A unit or a stage that is run several times: depth without parameters."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from blockyard.blocks.base import Wrapper
from blockyard.blocks.stages.units import units_of


class Recursion(Wrapper):
    """Y = F(F(… F(x))): a unit, ``layer3.1``, or a whole stage again on what it gave, with the same weights.

    Of a stage whose first unit changes the shape, that unit runs once and the others again. A batch norm gathers
    statistics of all passes together.

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
        if times < 1:
            raise ValueError(f"Recursion: times must be at least 1, got {times}")
        self.times = times

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to the shape that the host gives, ``(B, C, *S)``.

        Raises:
            ValueError: If the host changes the shape and has no units, or none but the first.
        """
        y: Tensor = host(x)
        again = [host] if y.shape == x.shape else self._others(host)
        for _ in range(self.times - 1):
            for unit in again:
                y = unit(y)
        return y

    def _others(self, host: nn.Module) -> list[nn.Module]:
        _, *others = units_of(host, "Recursion")
        if not others:
            raise ValueError("Recursion runs again on what came out, and the stage's only unit changes the shape")
        return others

    def check(self, host: nn.Module, x: Tensor) -> None:
        """Refuse a host whose second run would give another shape than its first.

        Raises:
            ValueError: If it would.
        """
        given, got = tuple(host(x).shape), tuple(self(host, x).shape)
        if given != got:
            raise ValueError(f"Recursion runs again on what came out, and {given[1:]} goes to {got[1:]} then")
