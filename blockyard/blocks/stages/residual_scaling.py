"""Units whose residuals are scaled down, so that a wide network learns."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from blockyard.blocks.stages.units import UnitWrapper


class ResidualScaling(UnitWrapper):
    """y = x + s (U(x) - x): each unit U of a stage adds s times what it would.

    Of a unit that ends in a ReLU, s times what the ReLU leaves. A unit that changes the shape runs as it is.

    Args:
        channels: Channels C of the map that the stage gives.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        scale: s; 1 is the stage alone. The paper has from 0.1 to 0.3.
        host: The stage; ``plug`` hands it over.

    Raises:
        ValueError: If the host has no units.
    """

    paper: ClassVar[str] = (
        "Szegedy et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, AAAI 2017"
    )

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, scale: float = 0.2, host: nn.Module | None = None
    ) -> None:
        super().__init__(channels, spatial_dims, host=host)
        self.scale = scale

    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S_in)`` to the shape that the host gives, ``(B, C, *S)``."""
        for unit in self.units(host):
            y = self.run(unit, x)
            x = x + self.scale * (y - x) if y.shape == x.shape else y
        return x
