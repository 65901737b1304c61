"""How a pyramid makes its maps smaller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from blockyard.backbones.skeletons.parts import Activation, Norm, activation, norm
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS

Taps = int | list[int]


@dataclass(frozen=True)
class Resolution:
    """The convolutions before the first stage, with a norm behind, and between the stages, with a norm before.

    What is a number for each axis, such as time, height and width, may be one for all.

    Attributes:
        stem_kernel: Taps of the first convolution along each axis.
        stem_stride: Its stride.
        kernel: Taps of the convolutions between the stages.
        stride: Their stride.
        norm: Kind of the norms, as of :class:`Style`.
        norm_bias: Whether these have a bias.
        norm_eps: What they add to a variance; None is 1e-6, and torch's default for that of a batch.
        norm_behind: Whether those between the stages stand behind the convolutions; None means no.
        stem_steps: How many first convolutions stand one behind the other, GELU between, each of half the channels of
            the next; None is one.
        stem_between: How many of stride 1 stand between each two of these and keep the channels; None is none.
        stem_norm: Kind of the norms behind them; None is ``norm``.
        acts: If given, every convolution has no bias, a norm behind and then an activation: the first in the stem, the
            second between the stages.
    """

    stem_kernel: Taps = 7
    stem_stride: Taps = 4
    kernel: Taps = 3
    stride: Taps = 2
    norm: Norm = "layer"
    norm_bias: bool = True
    norm_eps: float | None = None
    norm_behind: bool | None = None
    stem_steps: int | None = None
    stem_between: int | None = None
    stem_norm: Norm | None = None
    acts: tuple[Activation, Activation] | None = None

    def __post_init__(self) -> None:
        """Refuse what skips positions of the input, or has none.

        Raises:
            ValueError: If a stride is below 1 or above its kernel, or the first convolution is none.
        """
        for name in ("stem_", ""):
            kernel, stride = getattr(self, f"{name}kernel"), getattr(self, f"{name}stride")
            axes = _axes(kernel, stride)
            if not all(1 <= s <= k for k, s in zip(along(kernel, axes), along(stride, axes), strict=True)):
                raise ValueError(f"resolution: {name}stride must be 1 to {name}kernel, {kernel}, got {stride}")
        if self.stem_steps is not None and self.stem_steps < 1:
            raise ValueError(f"resolution: stem_steps must be at least 1, got {self.stem_steps}")
        if self.stem_between and not all(taps % 2 for taps in along(self.stem_kernel, _axes(self.stem_kernel))):
            raise ValueError(f"resolution: stem_between is for odd kernels, stem_kernel is {self.stem_kernel}")

    @property
    def _steps(self) -> int:
        return self.stem_steps or 1

    def strides(self, count: int) -> list[int]:
        """Input pixels per pixel of the map of each stage, along the last axis."""
        first, each = (stride[-1] if isinstance(stride, list) else stride for stride in (self.stem_stride, self.stride))
        return [first**self._steps * each**i for i in range(count)]

    def sizes(self, size: Sequence[int], count: int) -> list[tuple[int, ...]]:
        """Positions along each axis of the map of each stage, for an input of ``size``."""
        sizes = []
        for i in range(count):
            kernel, stride = self._taps(len(size), first=not i)
            for _ in range(1 if i else self._steps):
                padded = [n + 2 * p for n, p in zip(size, _padding(kernel, stride), strict=True)]
                size = [(n - k) // s + 1 for n, k, s in zip(padded, kernel, stride, strict=True)]
            sizes.append(tuple(size))
        return sizes

    def before(self, in_channels: int, channels: int, spatial_dims: int, *, first: bool) -> nn.Sequential:
        """What stands before a stage: ``(B, in_channels, *S)`` to ``(B, channels, *S / stride)``.

        Raises:
            ValueError: If there are kernels or strides for another number of axes.
        """
        kernel, stride = self._taps(spatial_dims, first=first)
        widths = [in_channels, *(channels // 2**i for i in reversed(range(self._steps if first else 1)))]
        steps = [(*step, stride) for step in pairwise(widths)]
        for i in reversed(range(1, len(steps))):
            steps[i:i] = [(widths[i], widths[i], (1,) * spatial_dims)] * (self.stem_between or 0)
        kind = self.stem_norm or self.norm if first else self.norm
        parts, made = list[nn.Module](), CONVOLUTIONS[spatial_dims]
        behind = first or self.norm_behind or self.acts is not None
        for before, after, step in steps:
            padding, bias = _padding(kernel, step), self.acts is None
            conv = made(before, after, kernel, step, padding, bias=bias)  # type: ignore[arg-type]
            around = norm(kind, after if behind else before, spatial_dims, bias=self.norm_bias, eps=self.norm_eps)
            if parts and not self.acts:
                parts.append(nn.GELU())
            parts += [conv, around] if behind else [around, conv]
            if self.acts:
                parts.append(activation(self.acts[0 if first else 1], after, spatial_dims))
        return nn.Sequential(*parts)

    def _taps(self, axes: int, *, first: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        kernel, stride = (self.stem_kernel, self.stem_stride) if first else (self.kernel, self.stride)
        return along(kernel, axes), along(stride, axes)


def along(taps: Taps, axes: int) -> tuple[int, ...]:
    """One number for each axis.

    Raises:
        ValueError: If there are some for another number of axes.
    """
    if isinstance(taps, int):
        return (taps,) * axes
    if len(taps) != axes:
        raise ValueError(f"resolution: kernels and strides are one number or one for each of {axes} axes, got {taps}")
    return tuple(taps)


def _axes(*taps: Taps) -> int:
    return max(len(some) for some in (*taps, [0]) if isinstance(some, list))


def _padding(kernel: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """What leaves ⌈n / stride⌉ of n positions where the two have the same parity, or the kernel is odd."""
    return tuple((k - s + 1) // 2 for k, s in zip(kernel, stride, strict=True))
