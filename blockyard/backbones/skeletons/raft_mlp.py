"""RaftMLP: an MLP along each axis in turn, over patches of several sizes.

Tatsunami, Taki: RaftMLP: How Much Can Be Done Without Attention and with Less Spatial Locality?, ACCV 2022.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from blockyard.backbones.base import Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.parts import MLP, LayerNorm, drop_path
from blockyard.backbones.skeletons.patches import MultiScalePatches
from blockyard.backbones.skeletons.pyramid import Pyramid
from blockyard.backbones.skeletons.stages import Mixer, sizes_of
from blockyard.blocks import RaftMixer
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.poolings import Pooling

_EPS = 1e-5
_FIXED = {"heads.0.1": "norm", "classifier": "fc"}
_PARTS = {"1": (0, True), "3": (1, True), "5": (2, False)}
"""By its name in published files: which part of a unit it is, and whether it mixes an axis."""


class Branch(nn.Module):
    """x + mixer(norm x), ``(B, C, *S)`` to the same shape.

    Args:
        channels: C.
        mixer: Mixes positions or channels.
        rate: Probability of dropping what it gives.
    """

    def __init__(self, channels: int, mixer: nn.Module, rate: float) -> None:
        super().__init__()
        self.norm = LayerNorm(channels, _EPS)
        self.mixer = mixer
        self.drop_path = drop_path(rate)

    def forward(self, x: Tensor) -> Tensor:
        """Add what is mixed."""
        return x + self.drop_path(self.mixer(self.norm(x)))


class RaftMLP(Pyramid):
    """A pyramid whose units mix each axis, then channels, in residual branches.

    Inputs of another size than ``input_size`` are mixed by resized weights, see :class:`~blockyard.blocks.RaftMixer`;
    the published code resizes maps, what passes its branches included. A list is of one value for each stage.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depths: Units of each stage.
        widths: Channels of each stage.
        patches: Positions along each axis of the patches that each stage begins with, of several sizes around the same
            places; the smallest do not overlap.
        mixer: What mixes positions along one axis: called with channels, rank, ``axes`` and ``size``.
        mlp_ratio: Hidden channels / C of what mixes channels.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        input_size: Positions of the input along each axis that the mixers are made for.
        dropout: Probability of dropout before the classifier.
        pooling: In place of the mean over positions; called with the channels of the last map.
        drop_path_rate: Probability of dropping a branch in training.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, or one of the published code.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a list is not of one value a stage, a number is not positive, patches do not lie around the same
            places, or the weights are not the network's.
    """

    first_convolutions = ("stem.convs.0", "stem.convs.1")
    head_parts = ("norm", *Pyramid.head_parts)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depths: Sequence[int] = (2, 2, 6, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
        patches: Sequence[Sequence[int]] = ((4, 8), (2, 4), (2, 4), (2,)),
        mixer: Mixer = RaftMixer,
        mlp_ratio: float = 4.0,
        spatial_dims: int = 2,
        input_size: int | list[int] = 224,
        dropout: float | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        drop_path_rate: float = 0.0,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(depths, widths, patches, spatial_dims)
        self.rank, rank, before, stride, stages = spatial_dims, spatial_dims, in_channels, 1, []
        size = sizes_of(input_size, rank, "RaftMLP")
        for i, (depth, width, kernels) in enumerate(zip(depths, widths, patches, strict=True)):
            self.add_module(f"downsample{i + 1}" if i else "stem", MultiScalePatches(before, width, rank, kernels))
            size = tuple(-(-n // min(kernels)) for n in size)
            units = []
            for _ in range(depth):
                along = [mixer(width, rank, **{"axes": [axis], "size": size}) for axis in range(rank)]
                parts = [*along, MLP(width, rank, mlp_ratio, "gelu")]
                units.append(nn.Sequential(*(Branch(width, part, drop_path_rate) for part in parts)))
            self.add_module(f"layer{i + 1}", nn.Sequential(*units))
            before, stride = width, stride * min(kernels)
            stages.append(Stage(f"layer{i + 1}", width, stride))
        self.stages = tuple(stages)
        self.norm = LayerNorm(before, _EPS)
        self.make_head(before, pooling, dropout)
        self.load_weights(weights, strict)

    def renamed(self, file: State) -> State:
        """The tensors of a published file, in which patches of all sizes lie in one map and norms go raft by raft."""
        if "levels.0.fn.0.fc.weight" not in file:
            return file
        found = State()
        for key, value in file.items():
            name, _, kind = key.rpartition(".")
            if name in _FIXED:
                found[f"{_FIXED[name]}.{kind}"] = value
                continue
            _, level, _, number, *inside = name.split(".")
            before, layer = f"downsample{int(level) + 1}" if int(level) else "stem", f"layer{int(level) + 1}"
            if inside == ["fc"] and kind == "bias":
                found[f"{before}.convs.0.bias"] = value
            elif inside == ["fc"]:
                own = {k: w for k, w in self.state_dict().items() if re.fullmatch(rf"{before}\.convs\.\d\.weight", k)}
                sizes = [w[0].numel() for w in own.values()]
                if sum(sizes) != value.shape[1]:
                    return file  # of other patches
                parts = zip(own.items(), value.split(sizes, 1), strict=True)
                found |= {k: part.reshape(-1, *w.shape[1:]) for (k, w), part in parts}
            else:
                part, along = _PARTS[inside[0]]
                place = f"{layer}.{int(number) - 2}.{part}"
                if inside[1] == "norm":
                    found[f"{place}.norm.{kind}"] = value.unflatten(0, (-1, 2)).t().flatten() if along else value
                else:
                    linear = {"0": "fc1", "3": "fc2"}[inside[2]]
                    found[f"{place}.mixer.{'mlps.0.' if along else ''}{linear}.{kind}"] = value
        return found

    def last_map(self, x: Tensor) -> Tensor:
        """The normed map of the last stage, ``(B, C, *S')``."""
        return self.norm(super().last_map(x))


def _check(depths: Sequence[int], widths: Sequence[int], patches: Sequence[Sequence[int]], spatial_dims: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"RaftMLP: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if not len(depths) == len(widths) == len(patches) or not depths:
        counts = f"{len(depths)}, {len(widths)} and {len(patches)}"
        raise ValueError(f"RaftMLP: depths, widths and patches have one value a stage, got {counts}")
    if min(*depths, *widths) < 1:
        raise ValueError(f"RaftMLP: depths and widths must be at least 1, got {list(depths)} and {list(widths)}")
