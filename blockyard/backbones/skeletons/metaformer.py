"""One pyramid for any mixer.

Yu et al., MetaFormer Is Actually What You Need for Vision, CVPR 2022; MetaFormer Baselines for Vision, TPAMI 2024. With
one branch a unit it is ConvNeXt's (Liu et al., CVPR 2022) and the MetaNeXt of InceptionNeXt (Yu et al., CVPR 2024);
with positions before each unit UniFormer's (Li et al., TPAMI 2023), for pictures and videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from blockyard.backbones.base import Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.neck import Neck
from blockyard.backbones.skeletons.parts import Activation, Norm, Style, each, norm
from blockyard.backbones.skeletons.pyramid import Pyramid
from blockyard.backbones.skeletons.resolution import Resolution
from blockyard.backbones.skeletons.stages import Mixer, by_stage, initialise, make_stage, sizes_of
from blockyard.backbones.skeletons.stock_names import own_names
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.mixers.parameter_free import PoolMixer
from blockyard.poolings import Pooling


class MetaFormer(Pyramid):
    """Stages of residual units around a mixer, each at half the resolution of the one before.

    Any block can be the mixer; its own residual, if it has one, stays. A list is of one value for each stage.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depths: Units of each stage.
        widths: Channels of each stage.
        mixers: What mixes positions; a list may also be of one value for each unit. One that is a whole unit stands
            alone, without the channel mixer and what the style says.
        channel_mixers: What mixes channels; None is an MLP.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        style: What else the units are like.
        resolution: How maps become smaller.
        map_norm: Kind of a norm of the last map before it is pooled, as of :class:`Style`; None is none.
        head_norm: Whether a norm of the pooled channels stands before the classifier.
        head_ratio: Hidden channels / C of a layer before the classifier; None is none.
        head_act: Its activation.
        input_size: Positions of the input along each axis, for mixers made for one size; None takes their defaults.
        dropout: Probability of dropout before the classifier.
        pooling: In place of the mean over positions; called with the channels of the last map.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, timm's of the PoolFormerV2, ConvFormer, CAFormer, ConvNeXt or InceptionNeXt, or the published ones of
            the HorNet, UniFormer, UniRepLKNet, SpaRTAN or DGMN2 that it is set up as; those of pictures may begin one
            of videos.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a list is not of one value a stage, a number is not positive, or the weights are not the
            network's.
    """

    first_convolutions = ("stem.0",)
    head_parts = ("map_norm", *Pyramid.head_parts)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depths: Sequence[int] = (2, 2, 6, 2),
        widths: Sequence[int] = (64, 128, 320, 512),
        mixers: list[Mixer] | Mixer = PoolMixer,
        channel_mixers: list[Mixer] | Mixer | None = None,
        spatial_dims: int = 2,
        style: Style | None = None,
        resolution: Resolution | None = None,
        map_norm: Norm | None = None,
        head_norm: bool = True,
        head_ratio: float | None = None,
        head_act: Activation = "gelu",
        input_size: int | list[int] | None = None,
        dropout: float | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(depths, widths, spatial_dims)
        style, resolution, count = style or Style(), resolution or Resolution(), len(depths)
        of_positions = by_stage(mixers, depths)
        mixing = zip(each("mixers", of_positions, count), each("channel_mixers", channel_mixers, count), strict=True)
        size = None if input_size is None else sizes_of(input_size, spatial_dims, "MetaFormer")
        sizes = [None] * count if size is None else resolution.sizes(size, count)
        rates = iter(style.rates(sum(depths)))
        for i, (of_stage, mixed) in enumerate(zip(style.of_stages(count), mixing, strict=True)):
            before = resolution.before(widths[i - 1] if i else in_channels, widths[i], spatial_dims, first=not i)
            self.add_module(f"downsample{i + 1}" if i else "stem", before)
            stage = make_stage(depths[i], widths[i], spatial_dims, mixed, of_stage, rates, sizes[i])
            self.add_module(f"layer{i + 1}", stage)
        strides = resolution.strides(count)
        self.stages = tuple(Stage(f"layer{i + 1}", widths[i], strides[i]) for i in range(count))
        self.map_norm = norm(map_norm, widths[-1], spatial_dims) if map_norm else None
        self.make_head(widths[-1], pooling, dropout, lambda channels: Neck(channels, head_norm, head_ratio, head_act))
        initialise(self)
        self.load_weights(weights, strict)

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees of ``(B, in_channels, *S)``: the map of the last stage, normed if that was asked for."""
        last = super().last_map(x)
        return last if self.map_norm is None else self.map_norm(last)

    def renamed(self, file: State) -> State:
        """The tensors of timm's or a published file by the names that they have here."""
        return own_names(file, self.state_dict())


def _check(depths: Sequence[int], widths: Sequence[int], spatial_dims: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"MetaFormer: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if len(depths) != len(widths) or not depths:
        raise ValueError(f"MetaFormer: depths and widths have one number a stage, got {len(depths)} and {len(widths)}")
    if min(*depths, *widths) < 1:
        raise ValueError(f"MetaFormer: depths and widths must be at least 1, got {list(depths)} and {list(widths)}")
