"""What stands around the mixers: norms, the mixing of channels, scales, and the residual unit; maps ``(B, C, *S)``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blockyard.blocks.activations import StarReLU
from blockyard.blocks.base import Block, Mergeable
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.blocks.mixers.convolutions import DepthwiseConvolution
from blockyard.blocks.mixers.pointwise import Pointwise
from blockyard.mistakes import nearest

Norm = Literal["layer", "group", "batch"]
Activation = Literal["gelu", "relu", "silu", "squared-relu", "star-relu"]


class LayerNorm(nn.LayerNorm):
    """The norm over the channels of each position, ``(B, C, *S)`` to the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position of ``(B, C, *S)``; the memory that comes out lies channels last."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class GroupNorm(nn.GroupNorm):
    """The norm over all channels and positions of a sample, ``(B, C, *S)`` to the same shape."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__(1, channels, eps)


def norm(kind: Norm, channels: int, spatial_dims: int, *, bias: bool = True, eps: float | None = None) -> nn.Module:
    """A norm of a map ``(B, C, *S)``.

    Args:
        kind: ``layer`` over the channels of each position, ``group`` over the sample, ``batch``.
        channels: C.
        spatial_dims: Rank of S.
        bias: Whether it has one besides its scale.
        eps: What is added to a variance; None is 1e-6, and torch's default for that of a batch.

    Raises:
        ValueError: If there is no such norm.
    """
    if kind == "batch":
        made: nn.Module = BATCH_NORMS[spatial_dims](channels, 1e-5 if eps is None else eps)
    elif kind in ("layer", "group"):
        made = (LayerNorm if kind == "layer" else GroupNorm)(channels, 1e-6 if eps is None else eps)
    else:
        raise ValueError(f"there is no norm {kind!r}{nearest(kind, ('layer', 'group', 'batch'))}")
    if not bias:
        made.register_parameter("bias", None)
    return made


class SquaredReLU(nn.Module):
    """Y = relu(x)² (So et al., Primer, NeurIPS 2021)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map any tensor to the same shape."""
        return x.relu().square()


def activation(kind: Activation, channels: int, spatial_dims: int) -> nn.Module:
    """An activation of a map of C channels.

    Raises:
        ValueError: If there is no such activation.
    """
    made: dict[str, Callable[[], nn.Module]] = {
        "gelu": nn.GELU,
        "relu": nn.ReLU,
        "silu": nn.SiLU,
        "squared-relu": SquaredReLU,
        "star-relu": lambda: StarReLU(channels, spatial_dims),
    }
    if kind not in made:
        raise ValueError(f"there is no activation {kind!r}{nearest(kind, made)}")
    return made[kind]()


class MLP(nn.Module):
    """Two linear maps of the channels of each position with an activation between, ``(B, C, *S)`` to the same shape.

    Args:
        channels: C.
        spatial_dims: Rank of S.
        ratio: Hidden channels / C.
        act: The activation.
        bias: Whether the linear maps have one.
    """

    def __init__(self, channels: int, spatial_dims: int, ratio: float, act: Activation, *, bias: bool = True) -> None:
        super().__init__()
        hidden = int(ratio * channels)
        self.fc1 = Pointwise(channels, hidden, bias=bias)
        self.act = activation(act, hidden, spatial_dims)
        self.fc2 = Pointwise(hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of each position of ``(B, C, *S)``."""
        return self.fc2(self.act(self.fc1(x)))


class Scale(nn.Module):
    """One learned factor a channel, or one for all, ``(B, C, *S)`` to the same shape."""

    def __init__(self, channels: int, value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply each channel of ``(B, C, *S)``."""
        return x * self.scale.view(-1, *(1,) * (x.dim() - 2))


class ConditionalPositions(nn.Module):
    """x + K ∗ x, depthwise: where a position lies it learns from the zeros around the map, whatever the map's size.

    Chu et al., Conditional Positional Encodings for Vision Transformers, ICLR 2023.

    Args:
        channels: C of ``(B, C, *S)``.
        spatial_dims: Rank of S.
        kernel: Taps of K along each axis, odd.
    """

    own_init = True

    def __init__(self, channels: int, spatial_dims: int, kernel: int) -> None:
        super().__init__()
        self.encode = DepthwiseConvolution(channels, spatial_dims, kernel_size=kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return x + self.encode(x)


def drop_path(rate: float) -> nn.Module:
    """What leaves out a branch for whole samples in training, and scales up what is kept (Huang et al., ECCV 2016)."""
    if not rate:
        return nn.Identity()
    from torchvision.ops import StochasticDepth  # which few networks need

    return StochasticDepth(rate, "row")


@dataclass(frozen=True)
class Style:
    """What the units of a skeleton are like but for their mixers; a list is of one value for each stage.

    Attributes:
        branches: 2: x + mixer(norm x), then x + mlp(norm x). 1: x + mlp(norm(mixer x)).
        norm: ``layer`` over the channels of each position, ``group`` over the sample, ``batch``. The first also stands
            in the stem and before what makes maps smaller.
        norm_bias: Whether norms have a bias.
        norm_eps: What they add to a variance, but to that of a batch, which torch's default is added to.
        act: Activation of the MLP.
        mlp_ratio: Its hidden channels / C.
        mlp_bias: Whether its linear maps have a bias.
        layer_scale: First value of a factor a channel behind each branch; None is none.
        residual_scale: The same of the way past the branches.
        shared_scale: Whether these are one factor for all channels; None means no.
        channel_residual: Whether there is a way past the second branch; ISTA needs none.
        position_kernel: Taps along each axis of a depthwise convolution that is added to a map before each unit, and
            tells positions where they lie; None is none.
        drop_path_rate: Probability of dropping the last branch in training; it rises from 0 unit by unit.
    """

    branches: Literal[1, 2] = 2
    norm: Norm | list[Norm] = "layer"
    norm_bias: bool = True
    norm_eps: float = 1e-6
    act: Activation = "gelu"
    mlp_ratio: float | list[float] = 4.0
    mlp_bias: bool = True
    layer_scale: float | None = None
    residual_scale: float | list[float | None] | None = None
    shared_scale: bool | None = None
    channel_residual: bool = True
    position_kernel: int | None = None
    drop_path_rate: float = 0.0

    def of_stages(self, count: int) -> list[Style]:
        """The style of each stage.

        Raises:
            ValueError: If a list is not of one value for each.
        """
        lists = {name: each(name, getattr(self, name), count) for name in ("norm", "mlp_ratio", "residual_scale")}
        return [replace(self, **{name: values[i] for name, values in lists.items()}) for i in range(count)]

    def rates(self, units: int) -> list[float]:
        """The probability of dropping a branch of each unit of the network."""
        return [self.drop_path_rate * i / max(units - 1, 1) for i in range(units)]

    def make_norm(self, channels: int, spatial_dims: int) -> nn.Module:
        """A norm of a stage."""
        assert isinstance(self.norm, str)
        eps = None if self.norm == "batch" else self.norm_eps
        return norm(self.norm, channels, spatial_dims, bias=self.norm_bias, eps=eps)

    def make_mlp(self, channels: int, spatial_dims: int) -> nn.Module:
        """An MLP of a stage."""
        assert not isinstance(self.mlp_ratio, list)
        return MLP(channels, spatial_dims, self.mlp_ratio, self.act, bias=self.mlp_bias)

    def make_positions(self, channels: int, spatial_dims: int) -> nn.Module:
        """What tells the positions of a map where they lie."""
        if self.position_kernel is None:
            return nn.Identity()
        return ConditionalPositions(channels, spatial_dims, self.position_kernel)

    def make_unit(self, mixer: Block, channel_mixer: nn.Module, rate: float) -> nn.Module:
        """A unit of a stage around a mixer."""
        assert not isinstance(self.residual_scale, list)
        kind = OneBranch if self.branches == 1 else TwoBranches
        return kind(mixer, channel_mixer, self, rate)


def each(name: str, value: Any, count: int) -> list[Any]:
    """One value for each stage: those of a list, or the same for all.

    Raises:
        ValueError: If the list is not of one value for each.
    """
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) not in (1, count):
        raise ValueError(f"{name} is one for all stages or one for each of {count}, got {len(value)}")
    return list(value) * (1 if len(value) == count else count)


class TwoBranches(nn.Module):
    """The unit of a MetaFormer: r·x + s·mixer(norm x), then the same of what mixes channels.

    Args:
        mixer: Mixes positions of ``(B, C, *S)``.
        channel_mixer: Mixes channels.
        style: The rest.
        rate: Probability of dropping a branch.
    """

    def __init__(self, mixer: Block, channel_mixer: nn.Module, style: Style, rate: float) -> None:
        super().__init__()
        channels, rank = mixer.channels, mixer.spatial_dims
        self.positions = style.make_positions(channels, rank)
        self.norm1 = style.make_norm(channels, rank)
        self.mixer = mixer
        self.norm2 = style.make_norm(channels, rank)
        self.mlp = channel_mixer
        self.drop_path1, self.drop_path2 = drop_path(rate), drop_path(rate if style.channel_residual else 0.0)
        factors = 1 if style.shared_scale else channels
        self.layer_scale1, self.layer_scale2 = (_maybe(factors, style.layer_scale) for _ in range(2))
        scales = [style.residual_scale, style.residual_scale if style.channel_residual else None]
        self.residual_scale1, self.residual_scale2 = (_maybe(factors, scale) for scale in scales)
        self.channel_residual = style.channel_residual

    def forward(self, x: Tensor, mixer: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape; a mixer, if given, stands in for the unit's own."""
        x = self.positions(x)
        mixed = (mixer or self.mixer)(self.norm1(x))
        x = self.residual_scale1(x) + self.drop_path1(self.layer_scale1(mixed))
        mixed = self.drop_path2(self.layer_scale2(self.mlp(self.norm2(x))))
        return self.residual_scale2(x) + mixed if self.channel_residual else mixed


class OneBranch(Mergeable):
    """The unit of ConvNeXt and of a MetaNeXt: x + s·mlp(norm(mixer x)); arguments as of :class:`TwoBranches`."""

    def __init__(self, mixer: Block, channel_mixer: nn.Module, style: Style, rate: float) -> None:
        super().__init__()
        channels = mixer.channels
        factors = 1 if style.shared_scale else channels
        self.positions = style.make_positions(channels, mixer.spatial_dims)
        self.mixer = mixer
        self.norm = style.make_norm(channels, mixer.spatial_dims)
        self.mlp = channel_mixer
        self.layer_scale = _maybe(factors, style.layer_scale)
        self.residual_scale = _maybe(factors, style.residual_scale)
        self.drop_path = drop_path(rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        x = self.positions(x)
        return self.residual_scale(x) + self.drop_path(self.layer_scale(self.mlp(self.norm(self.mixer(x)))))

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The same unit, its norm a part of the mixer and its layer scale of the MLP where these are linear there."""
        unit: Any = copy.deepcopy(self).eval()
        if isinstance(unit.mixer, tuple(CONVOLUTIONS.values())) and isinstance(unit.norm, tuple(BATCH_NORMS.values())):
            unit.mixer, unit.norm = fuse_conv_bn_eval(cast(Any, unit.mixer), cast(Any, unit.norm)), nn.Identity()
        parts = [*unit.mlp.children()] if isinstance(unit.mlp, MLP | nn.Sequential) else [None]
        last = parts[-1]  # which of other channel mixers need not be what comes last
        if isinstance(last, Pointwise) and isinstance(unit.layer_scale, Scale):
            for tensor in last.parameters():
                tensor.mul_(unit.layer_scale.scale.view(-1, *(1,) * (tensor.dim() - 1)))
            unit.layer_scale = nn.Identity()
        return unit


def _maybe(channels: int, value: Any) -> nn.Module:
    return nn.Identity() if value is None else Scale(channels, value)
