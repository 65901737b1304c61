"""torchvision's detectors over the maps of any backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from blockyard.heads import FPN
from blockyard.mistakes import nearest
from blockyard.tasks.detection.precision import Regions, exact_boxes, wide
from blockyard.tasks.detection.pyramid import NORM, ExtraBlocks, Pyramid

Target = list[dict[str, Tensor]]
RATIOS = (0.5, 1.0, 2.0)
"""Heights of anchors over their widths."""


class Detector(nn.Module):
    """One of torchvision's detectors, its classes and heads, over a backbone, a neck and coarser maps.

    Inputs are as the data give them, of one size and normalised: torchvision's own resizing and normalising are taken
    out. Anchors follow the strides: FCOS has one point a position, RetinaNet three sizes of 4 strides and more, Faster
    R-CNN one of 8 strides, SSDLite shares of the picture from 0.2 to 0.95. Boxes are computed in float32 at least,
    whatever autocast says.

    Args:
        kind: ``FCOS``, ``RetinaNet``, ``FasterRCNN`` or ``SSDLite``.
        body: A trunk that gives the maps of its ``stages``.
        num_classes: Classes K.
        neck: Called with the channels of the maps; None is an FPN of 256 channels, and nothing for SSDLite.
        finest: Smallest stride of a map that is looked at; None is as published: 8, 4 for Faster R-CNN, 16 for SSDLite.
        detections: Objects D found in a picture, at most.
        min_score: Score that a found object has at least; None is torchvision's: 0.2, 0.05, 0.05 and 0.001.
        head: Called with the stock head, the channels of the maps and their strides; makes the head in its place.

    Raises:
        ValueError: If there is no such detector, a number is out of range, or maps do not suit it.
    """

    def __init__(
        self,
        kind: str,
        body: nn.Module,
        num_classes: int,
        neck: Callable[[list[int]], nn.Module] | None = None,
        finest: int | None = None,
        detections: int = 100,
        min_score: float | None = None,
        head: Callable[[nn.Module, int, list[int]], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"detector={kind!r}: there is no such detector; {nearest(kind, KINDS)}")
        if detections < 1 or not 0 <= (min_score or 0) < 1 or (finest is not None and finest < 1):
            raise ValueError(f"{detections=} and {finest=} must be positive, and {min_score=} at least 0 and below 1")
        make, usual, least, beyond, background = KINDS[kind]
        lite = kind == "SSDLite"
        neck = FPN if neck is None and not lite else neck
        pyramid = Pyramid(body, usual if finest is None else finest, neck, beyond)
        if not (pyramid.out_channels or lite):
            widths = [level.channels for level in pyramid.levels]
            raise ValueError(f"{kind} takes maps of one number of channels, and the neck gives {widths}: FPN makes one")
        if kind == "FCOS" and (width := pyramid.out_channels) % 32:
            raise ValueError(f"FCOS has norms of 32 groups, so a neck's channels are multiples of 32, not {width}")
        least = least if min_score is None else min_score
        self.background = int(background)
        self.detector: Any = make(pyramid, num_classes + self.background, detections, least)
        if head is not None:
            strides = [level.stride for level in pyramid.levels]
            stock: Any = self.detector.roi_heads if kind == "FasterRCNN" else self.detector.head
            self.detector.head = head(stock, pyramid.out_channels, strides)
        self.detector.transform = AsGiven(1 if lite else max(level.stride for level in pyramid.levels))
        exact_boxes(self.detector)
        self.num_classes, self.detections = num_classes, detections
        self.stages = pyramid.stages("detector.backbone")

    def maps(self, x: Tensor) -> list[Tensor]:
        """What the heads see of ``(B, C, H, W)``: maps ``(B, C, H / stride, W / stride)``, finest first."""
        maps: list[Tensor] = self.detector.backbone.maps(x)
        return maps

    def losses(self, x: Tensor, target: Target) -> dict[str, Tensor]:
        """The detector's own losses by name, each one number.

        Args:
            x: Pictures ``(B, C, H, W)``.
            target: Of each picture ``boxes`` ``(n, 4)``: left, top, right, bottom, and ``labels`` ``(n,)``.
        """
        given = [{"boxes": wide(one["boxes"]), "labels": one["labels"] + self.background} for one in target]
        losses: dict[str, Tensor] = self.detector(x, given)
        return losses

    def forward(self, x: Tensor) -> Tensor:
        """What is found in ``(B, C, H, W)``: ``(B, D, 6)``, of each object left, top, right, bottom, score and class.

        The best first; rows of zeros where fewer than D are found. In evaluation alone.

        Raises:
            ValueError: In training, where a detector has losses alone, or if it is to be exported.
        """
        if torch.compiler.is_exporting():
            raise ValueError("how many objects are compared depends on the picture, which no exported program can say")
        if self.training:
            raise ValueError("a detector gives boxes in evaluation alone; in training it has losses")
        rows = []
        for found in self.detector(x):
            labels = (found["labels"] - self.background).to(found["boxes"])
            row = torch.cat([found["boxes"], found["scores"][:, None].to(found["boxes"]), labels[:, None]], 1)
            rows.append(nn.functional.pad(row, (0, 0, 0, self.detections - len(row))))
        return torch.stack(rows)


class AsGiven(GeneralizedRCNNTransform):
    """Takes pictures as they are, padded with zeros below and at the right up to multiples of a stride.

    Args:
        stride: The largest of the maps'.
    """

    def __init__(self, stride: int) -> None:
        super().__init__(1, 1, [0.0], [1.0], size_divisible=stride)

    def normalize(self, image: Tensor) -> Tensor:
        """The picture ``(C, H, W)`` as it is."""
        return image

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """The picture ``(C, H, W)`` and its boxes as they are."""
        return image, target


def _fcos(pyramid: Pyramid, num_classes: int, detections: int, min_score: float) -> FCOS:
    anchors = AnchorGenerator(tuple((level.stride,) for level in pyramid.levels), ((1.0,),) * len(pyramid.levels))
    limits: Any = {"score_thresh": min_score, "detections_per_img": detections}
    return FCOS(pyramid, num_classes, anchor_generator=anchors, **limits)


def _retinanet(pyramid: Pyramid, num_classes: int, detections: int, min_score: float) -> RetinaNet:
    sizes = tuple(tuple(int(4 * level.stride * 2 ** (k / 3)) for k in range(3)) for level in pyramid.levels)
    anchors = AnchorGenerator(sizes, (RATIOS,) * len(sizes))
    limits: Any = {"score_thresh": min_score, "detections_per_img": detections}
    return RetinaNet(pyramid, num_classes, anchor_generator=anchors, **limits)


def _faster_rcnn(pyramid: Pyramid, num_classes: int, detections: int, min_score: float) -> FasterRCNN:
    anchors = AnchorGenerator(tuple((8 * level.stride,) for level in pyramid.levels), (RATIOS,) * len(pyramid.levels))
    # the last map is the pooled one, which proposes and is not looked at again
    regions = Regions([str(place) for place in range(len(pyramid.levels) - 1)], 7, 2)
    limits: Any = {"box_score_thresh": min_score, "box_detections_per_img": detections}
    return FasterRCNN(pyramid, num_classes, rpn_anchor_generator=anchors, box_roi_pool=regions, **limits)


def _ssdlite(pyramid: Pyramid, num_classes: int, detections: int, min_score: float) -> SSD:
    widths = [level.channels for level in pyramid.levels]
    anchors = DefaultBoxGenerator([[2, 3]] * len(widths), min_ratio=0.2, max_ratio=0.95)
    head = SSDLiteHead(widths, anchors.num_anchors_per_location(), num_classes, NORM)
    limits: Any = {"score_thresh": min_score, "detections_per_img": detections, "topk_candidates": 300}
    # the size is for its own resizing alone
    return SSD(pyramid, anchors, (1, 1), num_classes, head=head, nms_thresh=0.55, **limits)


def _coarser(channels: int) -> tuple[nn.Module, list[int]]:
    return LastLevelP6P7(channels, channels), [channels] * 2


def _pooled(channels: int) -> tuple[nn.Module, list[int]]:
    return LastLevelMaxPool(), [channels]


def _extra(channels: int) -> tuple[nn.Module, list[int]]:
    blocks = ExtraBlocks(channels)
    return blocks, list(blocks.widths)


class Kind(NamedTuple):
    """What tells one of the detectors from the others.

    Attributes:
        make: Makes it of a pyramid, the number of its classes, the most that it finds, and the least score.
        finest: Smallest stride of a map, as published.
        min_score: Least score, as torchvision has it.
        beyond: Makes its coarser maps, of the channels of the last, and says their channels.
        background: Whether its first class is the background.
    """

    make: Callable[[Pyramid, int, int, float], nn.Module]
    finest: int
    min_score: float
    beyond: Callable[[int], tuple[nn.Module, Sequence[int]]]
    background: bool


KINDS = {
    "FCOS": Kind(_fcos, 8, 0.2, _coarser, False),
    "RetinaNet": Kind(_retinanet, 8, 0.05, _coarser, False),
    "FasterRCNN": Kind(_faster_rcnn, 4, 0.05, _pooled, True),
    "SSDLite": Kind(_ssdlite, 16, 0.001, _extra, True),
}
"""The detectors by name."""
