"""Cheap features, then attention (SP&A-Net)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.channels.squeeze_excitation import SqueezeExcitation
from blockyard.blocks.convolutions.cheap_convolutions import GhostModule
from blockyard.blocks.nonlocals.dual_attention import PositionAttention


class GhostAttention(GhostModule):
    """Y = A_p(A_c(G(x))): a Ghost module G makes features cheaply, then channels are weighed, then positions attend.

    Of the paper the abstract alone was read: cheap linear maps proliferate features, attention of channels and of space
    follows. Which modules these are is our choice: :class:`~blockyard.blocks.GhostModule`,
    :class:`~blockyard.blocks.SqueezeExcitation` and :class:`~blockyard.blocks.PositionAttention`, which starts as the
    identity, in this order; so are their options, and that they stand in place of a convolution. No number of the paper
    is claimed for it.

    Args:
        channels: Channels C of the input.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        ratio: As of :class:`~blockyard.blocks.GhostModule`, whose norms and ReLUs it has.
        channel_attention: Whether A_c is there.
        position_attention: Whether A_p is there; without both it is a ``GhostModule``, weights and all.
        reduction: Output channels over the hidden ones of A_c, and over those of A_p's queries and keys.
        cheap_kernel_size: As of :class:`~blockyard.blocks.GhostModule`.
        host: The convolution that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If ``reduction`` does not divide the output channels, or as :class:`~blockyard.blocks.GhostModule`.
    """

    paper: ClassVar[str] = "SP&A-Net: Self-Proliferation-and-Attention, 2022"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        ratio: int = 2,
        channel_attention: bool = True,
        position_attention: bool = True,
        reduction: int = 8,
        cheap_kernel_size: int = 3,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims, ratio=ratio, cheap_kernel_size=cheap_kernel_size, host=host)
        made, rank = self.geometry.out_channels, spatial_dims
        divide(made, reduction, "GhostAttention")
        self.channels_weighed = SqueezeExcitation(made, rank, reduction=reduction) if channel_attention else None
        self.positions_mixed = PositionAttention(made, rank, reduction=reduction) if position_attention else None

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to what the host gives; the same shape without a host."""
        x = super().transform(x)
        for attention in (self.channels_weighed, self.positions_mixed):
            x = x if attention is None else attention(x)
        return x
