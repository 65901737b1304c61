"""What SpaRTAN mixes positions and channels with.

Pay, Baskaran, Loo, Wong, See: SpaRTAN: Spatial Reinforcement Token-based Aggregation Network for Visual Recognition,
IJCNN 2025.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide
from blockyard.blocks.channels.squeeze_excitation import SqueezeExcitation
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.blocks.half_precision import ranged, roomy

PAPER = "Pay et al., SpaRTAN: Spatial Reinforcement Token-based Aggregation Network for Visual Recognition, IJCNN 2025"
_EPS = 1e-6


class SMixer(Block):
    """Y = W [SE(gelu(BN(K₁ ∗ z))), SE(gelu(BN(K₂ ∗ (K₃ ∗ z))))], z = v + γ ⊙ (v − v̄), v = V x of C / 2 channels.

    v̄ is the mean over positions: γ makes what differs from it stand out. All K have three taps along each axis, those
    of K₂ and K₃ two positions apart.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        depthwise: Whether each channel has a kernel of its own.

    Raises:
        ValueError: If ``channels`` is no multiple of 8.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = PAPER

    def __init__(self, channels: int, spatial_dims: int = 2, *, depthwise: bool = False) -> None:
        super().__init__(channels, spatial_dims)
        if channels % 8:
            raise ValueError(f"SMixer: channels must be a multiple of 8, got {channels}")
        half, conv, norm = channels // 2, CONVOLUTIONS[spatial_dims], BATCH_NORMS[spatial_dims]
        groups = half if depthwise else 1

        def taps(apart: int) -> nn.Module:
            return conv(half, half, 3, padding=apart, dilation=apart, groups=groups, bias=False)

        self.reduce = conv(channels, half, 1)
        self.boost = nn.Parameter(torch.full((half,), 1e-5))
        self.near = nn.Sequential(taps(1), norm(half, eps=_EPS), nn.GELU())
        self.far = nn.Sequential(taps(2), taps(2), norm(half, eps=_EPS), nn.GELU())
        self.near_gate, self.far_gate = (SqueezeExcitation(half, spatial_dims, reduction=4) for _ in range(2))
        self.project = conv(channels, channels, 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        x = self.reduce(x)
        over = (..., *(None,) * self.spatial_dims)
        x = x + self.boost[over] * (x - x.flatten(2).mean(2)[over])
        return self.project(torch.cat([self.near_gate(self.near(x)), self.far_gate(self.far(x))], 1))


class CMixer(Block):
    """Y = W SE(gelu(BN(K ∗ (c · (g + g_m))))), g = gelu(U x) ⊙ V x of r C channels, m where x has its greatest channel.

    Position by position, what g has in channel m is added to all of its channels. c multiplies channels 2i and 2i + 1,
    taken for a complex number, by a learned one, which turns and stretches them; K has three taps along each axis.

    m counts the C channels of x, so that it picks one of the first C of the r C of g, in no relation to its own: so the
    published code does, and its weights want it.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        expansion: r.
        group_width: Channels that K sees at once; 1 gives each a kernel of its own.

    Raises:
        ValueError: If ``channels`` is no multiple of 4, ``expansion`` below 1, or ``group_width`` does not divide r C.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = PAPER

    def __init__(self, channels: int, spatial_dims: int = 2, *, expansion: int = 4, group_width: int = 1) -> None:
        super().__init__(channels, spatial_dims)
        if channels % 4:
            raise ValueError(f"CMixer: channels must be a multiple of 4, got {channels}")
        if expansion < 1:
            raise ValueError(f"CMixer: expansion must be at least 1, got {expansion}")
        wide, conv = expansion * channels, CONVOLUTIONS[spatial_dims]
        groups = divide(wide, group_width, "CMixer", "group_width")
        self.gate = conv(channels, wide, 1)
        self.value = conv(channels, wide, 1)
        self.turn = nn.Parameter(torch.randn(wide // 2, 2))
        self.conv = conv(wide, wide, 3, padding=1, groups=groups, bias=False)
        self.norm = BATCH_NORMS[spatial_dims](wide, eps=_EPS)
        self.excite = SqueezeExcitation(wide, spatial_dims, reduction=4 * expansion)
        self.project = conv(wide, channels, 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        gated = F.gelu(self.gate(x).to(roomy(x))) * self.value(x)
        gated = gated + gated.gather(1, x.argmax(1, keepdim=True))
        mixed = ranged(self.conv, turned(gated, self.turn), terms=self.conv.weight[0].numel())
        return self.project(self.excite(F.gelu(self.norm(mixed))))


def turned(x: Tensor, factors: Tensor) -> Tensor:
    """Pairs of neighbouring channels of ``(B, 2n, *S)``, as complex numbers, times one factor a pair, ``(n, 2)``."""
    real, imaginary = x.unflatten(1, (-1, 2)).unbind(2)
    cosine, sine = factors[(..., *(None,) * (x.dim() - 2))].unbind(1)
    return torch.stack([cosine * real - sine * imaginary, sine * real + cosine * imaginary], 2).flatten(1, 2)
