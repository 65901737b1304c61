"""RevCol's further losses: what each group of columns knows of the picture, and of its class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.backbones import RevCol
from blockyard.backbones.skeletons.parts import LayerNorm, Style
from blockyard.backbones.skeletons.stages import initialise, make_stage
from blockyard.blocks import DepthwiseConvolution
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.objectives.base import Learner, Logged
from blockyard.objectives.supervision import PooledClassifier, Supervision

_PATCH = 4
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class IntermediateSupervision(Supervision):
    """ℓ(f(x)) + Σᵢ c i/n ℓ(hᵢ(mᵢ)) + r (1 - (i - 1)/(n - 1)) BCE(dᵢ(mᵢ), x), m the last map after i/n of the columns.

    i is 1 to n - 1: early columns of a :class:`~blockyard.backbones.RevCol` are to keep the picture, late ones to know
    the class (Cai et al., Reversible Column Networks, ICLR 2023, with the numbers of its published configurations). h
    is a norm of the mean over positions and a linear classifier. d makes the map larger level by level, with a unit of
    ConvNeXt at each, and gives of every position of the largest a patch of 4 pixels along each axis. x is the picture
    from 0.01 to 0.99: what data are normalised by is undone. BCE is the mean binary cross entropy of a pixel.

    ℓ is the task's own loss, smoothed and weighted as that is. Evaluation, exports and costs know of no such head.

    Args:
        points: n, which the number of columns is a multiple of.
        class_weight: c.
        picture_weight: r; 0 is no decoder, for samples that are no pictures.

    Raises:
        ValueError: If there are fewer than two points, or a weight is negative.
    """

    paper: ClassVar[str] = "Cai et al., Reversible Column Networks, ICLR 2023"

    def __init__(self, points: int = 4, class_weight: float = 0.7, picture_weight: float = 3.0) -> None:
        super().__init__()
        if points < 2 or min(class_weight, picture_weight) < 0:
            raise ValueError(
                "objective: IntermediateSupervision has at least 2 points, and no negative weight; got "
                f"{points}, {class_weight} and {picture_weight}"
            )
        self.points, self.class_weight, self.picture_weight = points, class_weight, picture_weight
        self.classifiers, self.decoders = nn.ModuleList(), nn.ModuleList()
        self.columns: list[int] = []

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Make the classifiers and decoders.

        Args:
            task: Holds the network.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If this is no classification by a RevCol of so many columns.
        """
        super().attach(task, input_shape)
        network = task.network
        if not isinstance(network, RevCol):
            name = type(network).__name__
            raise ValueError(f"objective: IntermediateSupervision is for the columns of RevCol; the network is {name}")
        count = len(network.columns)
        if count % self.points:
            said = f"points={self.points} does not divide the {count} columns"
            raise ValueError(f"objective: IntermediateSupervision: {said}")
        self.columns = [count * number // self.points for number in range(1, self.points + 1)]
        widths, rank = [stage.channels for stage in network.stages], len(input_shape) - 1
        with torch.random.fork_rng(devices=[]):
            for _ in range(self.points - 1):
                self.classifiers.append(PooledClassifier(widths[-1], network.num_classes))
                if self.picture_weight:
                    self.decoders.append(Decoder(widths, input_shape[0], rank))
            initialise(self)

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The loss of ``input`` ``(B, C, *S)`` with its labels, and of each head, by one forward pass.

        Raises:
            ValueError: If the network is compiled, or pictures are to be decoded of data that are none.
        """
        if getattr(task, "compiler", None):
            raise ValueError("objective: IntermediateSupervision runs columns one by one: leave compile at null")
        x, target = task.mixed(batch)
        *within, (*_, last) = task.network.after(x, self.columns)
        loss = task.loss_of(last, task.network.classify(last), target)
        picture = _picture(task, x) if self.decoders else x
        logged = Logged()
        for number, (maps, classifier) in enumerate(zip(within, self.classifiers, strict=True), 1):
            one = task.loss_of(maps[-1], classifier(maps[-1]), target)
            logged[f"column{self.columns[number - 1]}_loss"] = one
            loss = loss + self.class_weight * number / self.points * one
            if self.decoders:
                found = self.decoders[number - 1](maps)
                one = F.binary_cross_entropy_with_logits(found, cropped(picture, found.shape[2:]))
                logged[f"column{self.columns[number - 1]}_picture_loss"] = one
                loss = loss + self.picture_weight * (1 - (number - 1) / (self.points - 1)) * one
        return loss, logged


class Decoder(nn.Module):
    """The picture that a column knows of, as logits of its pixels, of the last map of the column.

    Args:
        widths: Channels of the column's levels.
        channels: Channels of the picture.
        rank: Rank of S.
    """

    def __init__(self, widths: list[int], channels: int, rank: int) -> None:
        super().__init__()
        self.rank, conv, style = rank, CONVOLUTIONS[rank], Style(branches=1, mlp_ratio=1.0, layer_scale=1e-6)
        mixers = partial(DepthwiseConvolution, kernel_size=3), None
        self.narrow, self.units = nn.ModuleList(), nn.ModuleList()
        for width, wider in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.narrow.append(nn.Sequential(conv(wider, width, 1), LayerNorm(width, 1e-6), nn.GELU()))
            self.units.append(make_stage(1, width, rank, mixers, style, iter([0.0]), None))
        self.patches = conv(widths[0], _PATCH**rank * channels, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map the stem's map and those of the levels, ``(B, C_i, *S_i)``, to as many pixels as the stem saw whole."""
        x = maps[-1]
        for narrow, units, like in zip(self.narrow, self.units, maps[-2:0:-1], strict=True):
            x = units(F.interpolate(narrow(x), like.shape[2:], mode=_MODES[self.rank], align_corners=True))
        return unfolded(self.patches(x), _PATCH)


def unfolded(x: Tensor, side: int | Sequence[int]) -> Tensor:
    """Patches in place of positions, ``(B, C sideⁿ, *S)`` to ``(B, C, *(side S))``; in 2-D a pixel shuffle.

    Args:
        x: The patches.
        side: Of a patch, along each axis or along all.
    """
    size, rank = x.shape[2:], x.dim() - 2
    sides = [side] * rank if isinstance(side, int) else list(side)
    x = x.reshape(len(x), -1, *sides, *size)
    order = [axis for n in range(rank) for axis in (2 + rank + n, 2 + n)]
    return x.permute(0, 1, *order).reshape(len(x), -1, *(n * m for n, m in zip(sides, size, strict=True)))


def cropped(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first positions of ``(B, C, *S)`` along each axis."""
    for axis, length in enumerate(size, 2):
        x = x.narrow(axis, 0, length)
    return x


def _picture(task: Any, x: Tensor) -> Tensor:
    """Samples ``(B, C, *S)`` as pixels from 0.01 to 0.99.

    Raises:
        ValueError: If nothing says what pixels were normalised by.
    """
    data = task.trainer.datamodule
    mean, std = (getattr(data, name, None) for name in ("mean", "std"))
    if mean is None or std is None:
        raise ValueError(f"objective: {type(data).__name__} has no pixels to decode: set picture_weight to 0")
    scale, shift = (x.new_tensor(values).view(-1, *(1,) * (x.dim() - 2)) for values in (std, mean))
    return (x * scale + shift).clamp(0.01, 0.99)
