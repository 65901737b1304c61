"""FFNet's up-head: a plain pyramid on a trunk like ResNet's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn import functional as F

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  before mmseg

# isort: split
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS


@MODELS.register_module()
class FFNetHead(BaseDecodeHead):
    """Maps made narrow, added up from the coarsest to the finest, joined at the finest one's size, classified.

    Mehta et al., Simple and Efficient Architectures for Semantic Segmentation, CVPRW 2022. Every map ``(B, C, H, W)``
    becomes ``widths`` channels wide by a 1×1 convolution; the sum at each level, made as wide as the next finer one and
    enlarged, is added there; a 3×3 convolution of each sum gives what is joined. With ``channels: 512`` and all else
    as it is by default it is the up-head A with the segmentation head A of the models called AAA.

    Args:
        in_channels: Channels of the maps, finest first; filled in.
        channels: Channels of the 3×3 convolution before the classifier.
        widths: Channels of the levels, finest first; as many as there are maps.
        joined: Channels that each level has in what is joined, finest first; None takes 128 for all.
        upsampling: ``linear``, corners aligned, or ``nearest``, as the published models for mobile devices have it.
        dropout_ratio: Share of channels dropped before the classifier; the published models drop none.
        **kwargs: As BaseDecodeHead's.

    Raises:
        ValueError: If ``widths`` or ``joined`` are not as many as the maps, or there is no such upsampling.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        joined: Sequence[int] | None = None,
        upsampling: Literal["linear", "nearest"] = "linear",
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        kwargs["input_transform"] = "multiple_select"
        super().__init__(in_channels, channels, dropout_ratio=dropout_ratio, **kwargs)
        joined = [128] * len(in_channels) if joined is None else joined
        if not len(widths) == len(joined) == len(in_channels):
            raise ValueError(
                f"{len(in_channels)} maps take as many widths and joined, got {list(widths)}, {list(joined)}"
            )
        if upsampling not in ("linear", "nearest"):
            raise ValueError(f"upsampling={upsampling!r}: linear and nearest are there")
        self.enlarged = {"mode": "bilinear", "align_corners": True} if upsampling == "linear" else {"mode": "nearest"}
        conv = partial(ConvModule, conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.narrow = nn.ModuleList(map(partial(conv, kernel_size=1), in_channels, widths))
        self.up = nn.ModuleList(map(partial(conv, kernel_size=1), widths[1:], widths[:-1]))
        self.smooth = nn.ModuleList(map(partial(conv, kernel_size=3, padding=1), widths, joined))
        self.fuse = conv(sum(joined), channels, 3, padding=1, bias=True)
        if self.fuse.with_norm:
            self.without_effect = ("fuse.conv.bias",)  # of the published models; the norm behind takes it away

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Classify the backbone's maps; logits ``(B, K, H, W)`` at the finest map's size."""
        levels = [narrow(x) for narrow, x in zip(self.narrow, self._transform_inputs(inputs), strict=True)]
        for level in reversed(range(len(levels) - 1)):
            levels[level] = levels[level] + self._enlarge(self.up[level](levels[level + 1]), levels[level])
        smooth = [smooth(x) for smooth, x in zip(self.smooth, levels, strict=True)]
        return self.cls_seg(self.fuse(torch.cat([self._enlarge(x, smooth[0]) for x in smooth], 1)))

    def _enlarge(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[2:], **self.enlarged)
