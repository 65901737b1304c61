"""UniFormer for few multiplications: late stages attend to the positions that a class token looks at, and recover all.

Li et al., UniFormer: Unifying Convolution and Self-attention for Visual Recognition, TPAMI 2023; the tokens as in Xu et
al., Evo-ViT: Slow-Fast Token Evolution for Dynamic Vision Transformer, AAAI 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.base import Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.parts import Style, TwoBranches, norm
from blockyard.backbones.skeletons.pyramid import Pyramid
from blockyard.backbones.skeletons.resolution import Resolution
from blockyard.backbones.skeletons.stages import Mixer, initialise, make_stage
from blockyard.backbones.skeletons.stock_names import own_names
from blockyard.blocks import LocalRelationAggregator, SelfAttention
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.poolings import Pooling

_POOL: dict[int, Callable[..., Tensor]] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
_FOR_IMAGES = Resolution(
    stem_kernel=3, stem_stride=2, stem_steps=2, stem_norm="batch", kernel=2, norm_eps=1e-5, norm_behind=True
)


@dataclass
class Memory:
    """What passes from unit to unit beside the map.

    Attributes:
        token: The class token, ``(B, C, 1)``.
        scores: How much it has looked at each position so far, ``(B, N)``; None before the first unit.
    """

    token: Tensor
    scores: Tensor | None = None


class HourglassUnit(TwoBranches):
    """A unit on the positions with the highest scores, the class token, and the mean of all others by their scores.

    The others get what the unit adds to that mean. Where nothing has scores yet it is on all positions. The token's
    attention is the new part of the scores.

    Args:
        channels: C of ``(B, C, *S)``.
        spatial_dims: Rank of S.
        head_width: Channels of a head.
        kept: Part of the positions that is kept.
        style: The rest.
        rate: Probability of dropping a branch.
    """

    def __init__(
        self, channels: int, spatial_dims: int, head_width: int, kept: float, style: Style, rate: float
    ) -> None:
        mixer = SelfAttention(channels, 1, head_width=head_width, qkv_bias=True, bias=True)
        super().__init__(mixer, style.make_mlp(channels, 1), replace(style, position_kernel=None), rate)
        self.positions = style.make_positions(channels, spatial_dims)
        self.kept = kept

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]
        """Map ``(B, C, *S)`` to the same shape, and change what is remembered."""
        x = self.positions(x)
        rows, scores = x.flatten(2), memory.scores
        if scores is None:
            tokens, _, memory.scores = self._mixed(torch.cat([memory.token, rows], 2))
            memory.token, rows = tokens[:, :, :1], tokens[:, :, 1:]
            return rows.unflatten(2, x.shape[2:])
        count = int(self.kept * rows.shape[2])
        order = scores.argsort(1, descending=True)
        near, far = order[:, :count], order[:, count:]
        places, others = (part[:, None].expand(-1, rows.shape[1], -1) for part in (near, far))
        weights, rest = scores.gather(1, far), rows.gather(2, others)
        total = weights.sum(1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)  # who looks at one alone
        mean = (rest * (weights / total)[:, None]).sum(2, keepdim=True)
        tokens, added, looked = self._mixed(torch.cat([memory.token, rows.gather(2, places), mean], 2))
        memory.token = tokens[:, :, :1]
        memory.scores = scores.scatter(1, near, (scores.gather(1, near) + looked[:, :-1]) / 2)
        rows = tokens.new_zeros(rows.shape).scatter(2, places, tokens[:, :, 1:-1])
        return rows.scatter(2, others, (rest + added[:, :, -1:]).to(tokens.dtype)).unflatten(2, x.shape[2:])

    def _mixed(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``(B, C, 1 + N)`` behind the branches, what these added, and the first one's attention ``(B, N)``."""
        normed = self.norm1(tokens)
        moved = self.mixer(normed)
        tokens = tokens + self.drop_path1(moved)
        changed = self.mlp(self.norm2(tokens))
        return tokens + self.drop_path2(changed), moved + changed, self._looked(normed)

    def _looked(self, tokens: Tensor) -> Tensor:
        """The attention of the first of normed tokens to the others, the mean over heads; keys are not made for it."""
        mixer = cast("SelfAttention", self.mixer)
        parts = (3, mixer.heads, -1)
        asks, keys, _ = mixer.qkv.weight.unflatten(0, parts)
        bias = mixer.qkv.bias.unflatten(0, parts)[0]  # the keys' is the same for all they are asked for
        query = torch.einsum("hdc,bc->bhd", asks, tokens[:, :, 0]) + bias
        scores = torch.einsum("bhd,hdc->bhc", query, keys) @ tokens
        return (scores * asks.shape[1] ** -0.5).softmax(2).mean(1)[:, 1:]


class HourglassStage(nn.Sequential):
    """Units one after the other, which remember."""

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]
        """Map ``(B, C, *S)`` to the same shape, and change what is remembered."""
        for unit in self:
            x = unit(x, memory)
        return x


class HourglassUniFormer(Pyramid):
    """Two stages of local relation aggregators, then two of attention to a part of the positions.

    The mean over positions and the class token have a classifier each. In training each sample is classified by one of
    them, drawn evenly: the expectation is the published mean of two losses. Otherwise the token has no say.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depths: Units of each of the four stages.
        widths: Channels of each.
        head_width: Channels of a head of the attention.
        mlp_ratio: Hidden channels / C of the MLPs.
        kept: Part of the positions that attention keeps.
        mixer: What mixes positions in the first two stages.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        resolution: How maps become smaller; None is as published for images.
        dropout: Probability of dropout before the classifier.
        drop_path_rate: Probability of dropping the last branch in training; it rises from 0 unit by unit.
        pooling: In place of the mean over positions; called with the channels of the last map.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, or the published ones; those of pictures may begin a network of videos.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If depths and widths are not four positive numbers each, no position or all are kept, or the weights
            are not the network's.
    """

    first_convolutions = ("stem.0",)
    head_parts = ("map_norm", "token_norm", "token_fc", *Pyramid.head_parts)
    classifiers = ("fc", "token_fc")

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depths: Sequence[int] = (2, 5, 8, 2),
        widths: Sequence[int] = (56, 112, 224, 448),
        head_width: int = 28,
        mlp_ratio: float = 3.0,
        kept: float = 0.5,
        mixer: Mixer = LocalRelationAggregator,
        spatial_dims: int = 2,
        resolution: Resolution | None = None,
        dropout: float | None = None,
        drop_path_rate: float = 0.0,
        pooling: Callable[[int], Pooling] | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(depths, widths, kept, spatial_dims)
        resolution = resolution or _FOR_IMAGES
        style = Style(mlp_ratio=mlp_ratio, position_kernel=3, drop_path_rate=drop_path_rate)
        self.rank = rank = spatial_dims
        rates = iter(style.rates(sum(depths)))
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            before = resolution.before(widths[i - 1] if i else in_channels, width, rank, first=not i)
            self.add_module(f"downsample{i + 1}" if i else "stem", before)
            if i < 2:
                early = replace(style, norm="batch")
                stage = make_stage(depth, width, rank, (mixer, None), early, rates, None)
            else:
                unit = partial(HourglassUnit, width, rank, head_width, kept, style)
                stage = HourglassStage(*(unit(next(rates)) for _ in range(depth)))
            self.add_module(f"layer{i + 1}", stage)
        strides = resolution.strides(len(depths))
        self.stages = tuple(Stage(f"layer{i + 1}", width, strides[i]) for i, width in enumerate(widths))
        self.token = nn.Parameter(torch.zeros(1, 1, widths[2]))
        self.token_widen = nn.Linear(widths[2], widths[3])
        self.map_norm = norm("batch", widths[3], rank)
        self.token_norm, self.token_fc = nn.LayerNorm(widths[3]), nn.Linear(widths[3], max(num_classes, 1))
        self.make_head(widths[3], pooling, dropout)
        initialise(self)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        return self._passed(x)[0]

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees of ``(B, in_channels, *S)``: the map of the last stage, normed."""
        return self.map_norm(self.features(x)[-1])

    def map_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the head sees, ``(B, C, *S')``, and the logits ``(B, num_classes)``, by one pass."""
        maps, token = self._passed(x)
        last = self.map_norm(maps[-1])
        logits = self.classify(last)
        if self.training:
            by_token = self.token_fc(self.token_norm(token))
            logits = torch.where(torch.rand(len(x), 1, device=x.device) < 0.5, by_token, logits)
        return last, logits

    def renamed(self, file: State) -> State:
        """The tensors of a published file by the names that they have here."""
        return own_names(file, self.state_dict())

    def _passed(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps of the stages, and the class token ``(B, C)`` behind the last one."""
        maps: list[Tensor] = []  # which torch.compile can read, as it can't list[Tensor]()
        memory = Memory(self.token.transpose(1, 2).expand(len(x), -1, -1))
        for number, stage in enumerate(self.stages, 1):
            x = self.get_submodule(f"downsample{number}" if number > 1 else "stem")(x)
            layer = self.get_submodule(stage.path)
            if number == 4:
                self._shrink(memory, maps[-1].shape[2:], x.shape[2:])
            x = layer(x) if number < 3 else layer(x, memory)
            maps.append(x)
        return maps, memory.token[:, :, 0]

    def _shrink(self, memory: Memory, size: torch.Size, smaller: torch.Size) -> None:
        """Widen the token, and sum up the scores of a map of ``size`` for the next one, to the same sum over all."""
        memory.token = self.token_widen(memory.token[:, :, 0])[:, :, None]
        assert memory.scores is not None
        pooled = _POOL[len(size)](memory.scores.unflatten(1, size)[:, None], smaller).flatten(1)
        memory.scores = pooled * (memory.scores.sum(1, keepdim=True) / pooled.sum(1, keepdim=True))


def _check(depths: Sequence[int], widths: Sequence[int], kept: float, spatial_dims: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"HourglassUniFormer: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if len(depths) != 4 or len(widths) != 4 or min(*depths, *widths) < 1:
        raise ValueError(
            f"HourglassUniFormer: depths and widths are four positive numbers each, got {depths} and {widths}"
        )
    if not 0 < kept < 1:
        raise ValueError(f"HourglassUniFormer: kept must lie between 0 and 1, got {kept}")
