"""The asymmetric nonlocal network's head: a fusion of two maps, then a pyramid block on the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  before mmseg
from blockyard.blocks import AsymmetricNonlocal
from blockyard.blocks.base import divide
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.kernel_operators import Softmax

# isort: split
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS


class AsymmetricFusion(nn.Module):
    """softmax(Q K_Sᵀ / √c) Z_S W: what every position of a high-level map reads from a low-level one (AFNB).

    Queries come from the high-level map ``(B, C, H, W)``; keys and values from the low-level one, pooled to S = Σ bins²
    tokens. The output starts at zero.

    Args:
        low_channels: Channels of the map that is read.
        high_channels: Channels of the map that asks, and of what it gets.
        inner: Channels c of queries, keys and values.
        bins: Cells along every axis, one pyramid level each.
    """

    def __init__(self, low_channels: int, high_channels: int, inner: int, bins: Sequence[int] = (1, 3, 6, 8)) -> None:
        super().__init__()
        self.query = nn.Sequential(Projection(high_channels, inner, 2), nn.BatchNorm1d(inner), nn.ReLU())
        self.key = nn.Sequential(Projection(low_channels, inner, 2), nn.BatchNorm1d(inner), nn.ReLU())
        self.value = Projection(low_channels, inner, 2, bias=True)
        self.out = nn.Conv1d(inner, high_channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]
        self.bins = tuple(bins)
        self.without_effect = ("query.*", "key.*") if self.bins == (1,) else ()  # a softmax over one token is one

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Context ``(B, high_channels, H, W)`` for ``high: (B, high_channels, H, W)`` out of a ``low`` map."""
        query = self.query(high)
        key, value = (self._pyramid(signal.unflatten(2, low.shape[2:])) for signal in (self.key(low), self.value(low)))
        context = Softmax(query, key, query.shape[1] ** -0.5).apply(value)
        return self.out(context).reshape(high.shape)

    def _pyramid(self, x: Tensor) -> Tensor:
        return torch.cat([F.adaptive_avg_pool2d(x, cells).flatten(2) for cells in self.bins], 2)


@MODELS.register_module()
class AsymmetricNonlocalHead(BaseDecodeHead):
    """Fusion of two maps ``(B, C, H, W)`` (AFNB), 3×3 convolution, pyramid block (APNB), classifier.

    Zhu et al., Asymmetric Non-local Neural Networks for Semantic Segmentation, ICCV 2019. The block of APNB is
    :class:`blockyard.blocks.AsymmetricNonlocal`, which adds its context; concatenated with its input, as here, it
    spans the functions of the paper's concatenation with the context alone.

    Args:
        reduction: ``channels`` / c, c the channels of queries, keys and values, in both parts.
        bins: Cells of the pyramid along every axis.
        dropout_ratio: Share of channels dropped behind both parts; the paper's code has 0.05.
        **kwargs: As BaseDecodeHead's; ``in_index`` and ``in_channels`` name two maps, low-level first.

    Raises:
        ValueError: If there are not two maps, or ``reduction`` does not divide ``channels``.
    """

    def __init__(
        self, reduction: int = 2, bins: Sequence[int] = (1, 3, 6, 8), dropout_ratio: float = 0.05, **kwargs: Any
    ) -> None:
        kwargs["input_transform"] = "multiple_select"
        super().__init__(dropout_ratio=dropout_ratio, **kwargs)
        if len(self.in_channels) != 2:
            raise ValueError(f"AsymmetricNonlocalHead takes two maps, got in_index={self.in_index}")
        low, high = self.in_channels
        norm = {"conv_cfg": self.conv_cfg, "norm_cfg": self.norm_cfg}
        inner = divide(self.channels, reduction, "AsymmetricNonlocalHead")
        self.fusion = AsymmetricFusion(low, high, inner, bins)
        self.fused = ConvModule(2 * high, high, 1, act_cfg=None, **norm)
        self.bottleneck = ConvModule(high, self.channels, 3, padding=1, act_cfg=self.act_cfg, **norm)
        self.block = AsymmetricNonlocal(self.channels, 2, reduction=reduction, bins=bins)
        self.context = ConvModule(2 * self.channels, self.channels, 1, act_cfg=self.act_cfg, **norm)
        if isinstance(self.fused.norm, _BatchNorm):
            # Both add the same to every position, which the batch norm behind a pointwise convolution takes away.
            self.without_effect = tuple(
                f"{part}.{bias}" for part in ("fusion", "block") for bias in ("value.conv.bias", "out.bias")
            )

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Classify the backbone's maps; logits ``(B, K, H, W)`` at the high-level map's size."""
        low, high = self._transform_inputs(inputs)
        x = self.fused(torch.cat([self.fusion(low, high), high], 1))
        x = self.bottleneck(x if self.dropout is None else self.dropout(x))
        return self.cls_seg(self.context(torch.cat([self.block(x), x], 1)))
