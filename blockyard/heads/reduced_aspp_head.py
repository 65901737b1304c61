"""Mobile DeepLabv3's head: atrous pooling without its dilated branches."""

from __future__ import annotations

from typing import Any

from mmcv.cnn import ConvModule

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  before mmseg

# isort: split
from mmseg.models.decode_heads import ASPPHead
from mmseg.registry import MODELS


@MODELS.register_module()
class ReducedASPPHead(ASPPHead):
    """A 1×1 convolution beside the mean over the picture, joined by another, on a map ``(B, C, H, W)``; classifier.

    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018: the DeepLabv3 for mobile devices,
    on a MobileNetV2 of output stride 16. It is mmsegmentation's ASPPHead without the 3×3 branches, with a 1×1
    convolution in place of the 3×3 one behind them.

    Args:
        dropout_ratio: Share of channels dropped before the classifier.
        **kwargs: As BaseDecodeHead's: ``in_channels``, ``channels`` (256 there), ``num_classes``…
    """

    def __init__(self, dropout_ratio: float = 0.1, **kwargs: Any) -> None:
        super().__init__(dilations=(1,), dropout_ratio=dropout_ratio, **kwargs)
        norms = {"conv_cfg": self.conv_cfg, "norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}
        self.bottleneck = ConvModule(2 * self.channels, self.channels, 1, **norms)
