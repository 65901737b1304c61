"""One resolution and one width for any mixer.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; with other mixers ConViT (d'Ascoli et al., ICML 2021) and
CRATE (Yu et al., NeurIPS 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.neck import Neck
from blockyard.backbones.skeletons.parts import Style, each
from blockyard.backbones.skeletons.patches import Patches, Positions
from blockyard.backbones.skeletons.stages import Mixer, initialise, make_stage, sizes_of
from blockyard.backbones.skeletons.stock_names import own_names
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.mixers.self_attention import SelfAttention
from blockyard.poolings import Pooling


class Isotropic(Backbone):
    """Residual units around a mixer on a grid of patches, in stages that differ by their mixers alone.

    A class token, if there is one, joins before a stage: from there on what passes are tokens, maps ``(B, C, 1 + N)``
    of rank 1, and mixers are made for rank 1; before, they see the grid ``(B, C, *S)``. A list is of one value for
    each stage.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depths: Units of each stage.
        width: Channels.
        mixers: What mixes positions.
        channel_mixers: What mixes channels; None is an MLP.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        style: What else the units are like.
        patch: Input pixels of a patch along each axis.
        patch_norms: Whether a norm stands before and behind the linear map of the patches.
        input_size: Positions of the input along each axis that the positions are learned for.
        positions: Whether each place has a learned vector, which is added to its patch.
        class_token: The stage, from 1, that a token joins before which then is what is classified; None is the mean
            over positions.
        dropout: Probability of dropout before the classifier.
        pooling: In place of the mean over positions; called with the width.
        head_norm: Whether a norm of what is classified stands before the classifier.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, timm's of a ViT, DeiT or ConViT, or the first published ones of CRATE, that it is set up as.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a list is not of one value a stage, a number is not positive, the class token joins at no stage
            or is asked for beside a pooling, or the weights are not the network's.
    """

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depths: Sequence[int] = (3, 3, 3, 3),
        width: int = 192,
        mixers: list[Mixer] | Mixer = SelfAttention,
        channel_mixers: list[Mixer] | Mixer | None = None,
        spatial_dims: int = 2,
        style: Style | None = None,
        patch: int = 16,
        patch_norms: bool = False,
        input_size: int | list[int] = 224,
        positions: bool = True,
        class_token: int | None = None,
        dropout: float | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        head_norm: bool = True,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(depths, width, spatial_dims, class_token, pooling)
        style, count, self.joins = style or Style(), len(depths), class_token
        self.patches = Patches(in_channels, width, spatial_dims, patch, style.norm_eps if patch_norms else None)
        self.first_convolutions = () if patch_norms else ("patches.project",)
        size = tuple(-(-n // patch) for n in sizes_of(input_size, spatial_dims, "Isotropic"))
        self.positions = Positions(width, size, int(class_token == 1)) if positions else None
        self.class_token = nn.Parameter(torch.empty(1, 1, width)) if class_token else None
        rates = iter(style.rates(sum(depths)))
        mixing = zip(each("mixers", mixers, count), each("channel_mixers", channel_mixers, count), strict=True)
        for number, (of_stage, mixed) in enumerate(zip(style.of_stages(count), mixing, strict=True), 1):
            if number == class_token:
                size = (1 + math.prod(size),)
            stage = make_stage(depths[number - 1], width, len(size), mixed, of_stage, rates, size)
            self.add_module(f"layer{number}", stage)
        self.stages = tuple(Stage(f"layer{i + 1}", width, patch) for i in range(count))
        self.make_head(width, pooling, dropout, lambda channels: Neck(channels, head_norm, eps=style.norm_eps))
        initialise(self)
        if self.class_token is not None:
            nn.init.trunc_normal_(self.class_token, std=0.02)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The grids behind the stages, ``(B, width, *⌈S / patch⌉)`` each, without the class token."""
        return self._passed(x)[0]

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees: the last grid ``(B, width, *S')``; with a class token, tokens ``(B, 1 + N, width)``."""
        maps, last = self._passed(x)
        return maps[-1] if self.class_token is None else last.transpose(1, 2)

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of what :meth:`last_map` gave."""
        return super().classify(last if self.class_token is None else last[:, :1].transpose(1, 2))

    def embedded(self, x: Tensor) -> Tensor:
        """The grid of patches ``(B, width, *⌈S / patch⌉)`` before the first stage, each told where it lies."""
        # channels last in memory, as norms and linear maps of channels read them
        x = self.patches(x).movedim(1, -1).contiguous().movedim(-1, 1)
        return x if self.positions is None else self.positions(x)

    def passed(self, x: Tensor, number: int) -> Tensor:
        """What stage ``number``, from 1, makes of a grid, or of tokens where the class token has joined."""
        x = self._joined(x) if number == self.joins else x
        return self.get_submodule(self.stages[number - 1].path)(x)

    def _passed(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The grids behind the stages, and all that comes out of the last one."""
        x = self.embedded(x)
        size = x.shape[2:]
        maps: list[Tensor] = []  # which torch.compile can read, as it can't list[Tensor]()
        for number in range(1, len(self.stages) + 1):
            x = self.passed(x, number)
            joined = self.joins is not None and number >= self.joins
            maps.append(x[:, :, 1:].unflatten(2, size) if joined else x)
        return maps, x

    def _joined(self, x: Tensor) -> Tensor:
        """The class token and the positions of a grid as tokens, ``(B, C, 1 + N)``."""
        assert self.class_token is not None
        token: Tensor = self.class_token
        if self.positions is not None and self.positions.first:
            token = token + self.positions.tokens()
        tokens = x.flatten(2).transpose(1, 2)
        return torch.cat([token.to(x.dtype).expand(len(x), -1, -1), tokens], 1).transpose(1, 2)

    def renamed(self, file: State) -> State:
        """The tensors of timm's file, or of CRATE's first ones, by the names that they have here."""
        return own_names(file, self.state_dict())


def _check(depths: Sequence[int], width: int, rank: int, class_token: int | None, pooling: object) -> None:
    if rank not in CONVOLUTIONS:
        raise ValueError(f"Isotropic: spatial_dims must be one of 1, 2, 3, got {rank}")
    if not depths or min(*depths, width) < 1:
        raise ValueError(f"Isotropic: depths and width must be at least 1, got {list(depths)} and {width}")
    if class_token is not None and not 1 <= class_token <= len(depths):
        raise ValueError(f"Isotropic: class_token must be a stage from 1 to {len(depths)}, got {class_token}")
    if class_token is not None and pooling is not None:
        raise ValueError("Isotropic: a pooling is of all positions; leave class_token out")
