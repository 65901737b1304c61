"""U-Net and UNet++ as decode heads over the maps of any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from mmcv.cnn import ConvModule, build_conv_layer
from torch import Tensor, nn

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  before mmseg
from blockyard.heads.nested_skips import NestedSkips, Node, Upsampling

# isort: split
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS


@MODELS.register_module()
class UNetHead(BaseDecodeHead):
    """U-Net's decoder: from the coarsest map up, each time with the backbone's map of that size beside it.

    Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015. With
    ``conv_cfg: {type: Conv3d}`` and a norm of that rank, logits are those of volumes.

    Args:
        in_channels: Channels of the maps, finest first; filled in.
        channels: Channels of what is classified; the finest map's, or the first of ``widths``, if it is not given.
        widths: Channels of the decoder's nodes, finest first: as many as there are steps from the coarsest map up. One
            more in front adds a node at twice the finest map's size, which has no map beside it. None takes
            ``channels``, and then the channels of the maps.
        upsampling: ``nearest``, ``linear`` or ``transposed``, as of :class:`~blockyard.heads.nested_skips.Node`.
        classifier_kernel: Taps of the classifier along each axis.
        dropout_ratio: Share of channels dropped before the classifier.
        **kwargs: As BaseDecodeHead's.

    Raises:
        ValueError: If ``widths`` do not fit the maps, or do not begin with ``channels``.
    """

    nested: ClassVar[bool] = False

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        widths: Sequence[int] | None = None,
        upsampling: Upsampling = "nearest",
        classifier_kernel: int = 1,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        kwargs["input_transform"] = "multiple_select"
        super().__init__(in_channels, channels, dropout_ratio=dropout_ratio, **kwargs)
        levels = len(in_channels) - 1
        widths = [channels, *in_channels[1:-1]] if widths is None else list(widths)
        if len(widths) not in (levels, levels + 1) or widths[0] != channels:
            raise ValueError(
                f"{type(self).__name__}: {levels + 1} maps take {levels} widths, or {levels + 1} for twice the size, "
                f"of which the first are channels={channels}; got {widths}"
            )
        norms = {"conv_cfg": self.conv_cfg, "norm_cfg": self.norm_cfg, "act_cfg": self.act_cfg}
        conv = partial(ConvModule, kernel_size=3, padding=1, **norms)
        rank = build_conv_layer(self.conv_cfg, 1, 1, 1).weight.dim() - 2
        self.skips = NestedSkips(in_channels, widths[-levels:], conv, upsampling, self.nested, rank)
        doubled = len(widths) > levels
        found = [Node(width, 0, channels, conv, upsampling, rank) for width in self.skips.widths if doubled]
        self.doubled = nn.ModuleList(found)
        seen = [channels] * len(self.skips.widths) if doubled else self.skips.widths
        padding = classifier_kernel // 2
        *others, last = (
            build_conv_layer(self.conv_cfg, width, self.out_channels, classifier_kernel, padding=padding)
            for width in seen
        )
        self.conv_seg, self.classifiers = last, nn.ModuleList(others)
        for classifier in others:
            nn.init.normal_(classifier.weight, std=0.01)  # as mmsegmentation begins with every conv_seg
            nn.init.zeros_(classifier.bias)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Classify the backbone's maps; logits ``(B, K, *S)`` at the finest map's size, or twice that."""
        return self._logits(self.skips(self._transform_inputs(inputs)))[-1]

    def _logits(self, nodes: Sequence[Tensor]) -> list[Tensor]:
        """Logits of the finest level's nodes, which are all of them or the first."""
        maps = list(nodes)
        if self.doubled:
            maps = [node(x, (), [2 * n for n in x.shape[2:]]) for node, x in zip(self.doubled, maps, strict=False)]
        kept = maps if self.dropout is None else [self.dropout(x) for x in maps]
        return [classify(x) for classify, x in zip([*self.classifiers, self.conv_seg], kept, strict=False)]


@MODELS.register_module()
class UNetPlusPlusHead(UNetHead):
    """UNet++'s decoder: nested nodes on every way from map to map, each with all that its level has so far beside it.

    Zhou et al., UNet++: Redesigning Skip Connections to Exploit Multiscale Features in Image Segmentation, TMI 2020;
    see :class:`~blockyard.heads.nested_skips.NestedSkips`. Under deep supervision every node of the finest level
    has a classifier, the losses of all are added, and :attr:`pruned_depth` says which one answers.

    Args:
        in_channels: As :class:`UNetHead`'s.
        channels: As :class:`UNetHead`'s.
        deep_supervision: Whether all nodes of the finest level learn, or the last alone.
        **kwargs: As :class:`UNetHead`'s.
    """

    nested: ClassVar[bool] = True

    def __init__(
        self, in_channels: Sequence[int], channels: int, *, deep_supervision: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, channels, **kwargs)
        if not deep_supervision:
            self.classifiers, self.doubled = nn.ModuleList(), self.doubled[-1:]
        self.deep_supervision = deep_supervision
        self.pruned_depth: int | None = None

    def prune(self, depth: int | None) -> None:
        """Let a node of the finest level answer, and nothing that stands behind it be evaluated.

        Args:
            depth: Of the node, from 1 for the one nearest to the backbone; None means the last.

        Raises:
            ValueError: If there is none, or it has not learnt.
        """
        if depth is not None and not 1 <= depth <= self.skips.depth:
            raise ValueError(f"pruned_depth={depth}: {type(self).__name__} has depths 1 to {self.skips.depth} here")
        if depth not in (None, self.skips.depth) and not self.deep_supervision:
            raise ValueError(f"pruned_depth={depth}: without deep_supervision only the last depth has learnt")
        self.pruned_depth = depth

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Logits ``(B, K, *S)`` of the last depth, or of :attr:`pruned_depth`, at the finest map's size or twice that.

        What stands behind that depth is not evaluated; the logits are, to the bit, what they are where it is.
        """
        return self.all_logits(inputs, self.pruned_depth)[-1]

    def all_logits(self, inputs: list[Tensor], depth: int | None = None) -> list[Tensor]:
        """Logits ``(B, K, *S)`` of depths 1 to ``depth``; without deep supervision of the last alone."""
        nodes = self.skips(self._transform_inputs(inputs), depth)
        return self._logits(nodes if self.deep_supervision else nodes[-1:])

    def loss(self, inputs: list[Tensor], batch_data_samples: list[Any], train_cfg: Any) -> dict[str, Tensor]:
        """The losses of the last depth, by their names, and those of the others, as ``depth1.loss_ce``."""
        *others, last = (self.loss_by_feat(logits, batch_data_samples) for logits in self.all_logits(inputs))
        named = {f"depth{d}.{name}": value for d, losses in enumerate(others, 1) for name, value in losses.items()}
        return {**last, **named}
