"""torchvision's detectors over maps of any backbone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

from blockyard.backbones import MAXIM, PreResNet, Stage
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_parameters
from blockyard.heads import FPN, SEPC, BridgedHead
from blockyard.plugging import Plug, apply_plugs
from blockyard.tasks.detection.detector import KINDS, Detector


class MobileMaps(nn.Module):
    """The two maps that torchvision's SSDLite takes of its MobileNetV3."""

    stages = (Stage("features.0", 672, 16), Stage("features.1", 480, 32))

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, x):
        middle = self.features[0](x)
        return [middle, self.features[1](middle)]


def neck(channels):
    return FPN(channels, channels=64)


def detector(kind, **options):
    torch.manual_seed(0)
    usual = {} if kind == "SSDLite" else {"neck": neck}
    return Detector(kind, PreResNet(0, depth=8, stem_stride=4, width=16), 3, **(usual | options))


@pytest.fixture(scope="module")
def stock():
    torch.manual_seed(0)
    return ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21).eval()


def test_ssdlite_is_torchvisions(stock):
    """With its weights every box, score and label is the same; 320 pixels, six maps, 20 classes and the background."""
    body = MobileMaps(stock.backbone.features)
    ours = Detector("SSDLite", body, 20, detections=300).eval()
    assert count_parameters(ours.detector.head) == count_parameters(stock.head)
    assert count_parameters(ours) == count_parameters(stock)
    ours.detector.head.load_state_dict(stock.head.state_dict())
    ours.detector.backbone.beyond.blocks.load_state_dict(stock.backbone.extra.state_dict())
    pictures = torch.rand(2, 3, 320, 320)
    with torch.no_grad():
        found, expected = ours(2 * pictures - 1), stock(list(pictures))
    for rows, one in zip(found, expected, strict=True):
        count = len(one["boxes"])
        torch.testing.assert_close(rows[:count, :4], one["boxes"], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(rows[:count, 4], one["scores"])
        assert torch.equal(rows[:count, 5], one["labels"].float() - 1)
        assert not rows[count:].any()


def test_ssdlite_has_the_published_parameters():
    """Of torchvision's weights for COCO, with 90 classes and the background."""
    torch.manual_seed(0)
    stock = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)
    ours = Detector("SSDLite", MobileMaps(stock.backbone.features), 90)
    assert count_parameters(ours) == count_parameters(stock) == 3_440_060


@pytest.mark.parametrize(
    ("kind", "head"), [*((kind, None) for kind in KINDS), ("FCOS", BridgedHead), ("RetinaNet", BridgedHead)]
)
def test_every_detector_learns_and_finds(kind, head):
    network = detector(kind, min_score=0.0, detections=7, head=head)
    x = torch.randn(2, 3, 64, 64)
    boxes = {"boxes": torch.tensor([[4.0, 4, 40, 40]]), "labels": torch.tensor([2])}
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    losses = network.losses(x, [boxes, nothing])
    assert all(value.isfinite() and value.dim() == 0 for value in losses.values())
    sum(losses.values()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    found = network.eval()(x)
    assert found.shape == (2, 7, 6)
    assert (found[..., 4].diff() <= 0).all()
    assert set(found[..., 5].unique().tolist()) <= {0.0, 1.0, 2.0}
    assert ((found[..., :4] >= 0) & (found[..., :4] <= 64)).all()


@pytest.mark.parametrize(("kind", "strides"), [("FCOS", [8, 16, 32, 64]), ("FasterRCNN", [4, 8, 16, 32])])
def test_anchors_follow_the_strides(kind, strides):
    pyramid = detector(kind).detector.backbone
    assert [level.stride for level in pyramid.levels] == strides
    assert [64 // seen.shape[-1] for seen in pyramid.maps(torch.zeros(1, 3, 64, 64))] == strides
    made = detector(kind).detector
    generator = made.anchor_generator if kind == "FCOS" else made.rpn.anchor_generator
    factor = 1 if kind == "FCOS" else 8
    assert list(generator.sizes) == [(factor * stride,) for stride in strides]


@pytest.mark.parametrize("kind", ["FCOS", "RetinaNet"])
def test_a_fresh_bridged_head_finds_what_the_stock_one_finds(kind):
    stock, bridged = detector(kind, min_score=0.0).eval(), detector(kind, min_score=0.0, head=BridgedHead).eval()
    bridged.detector.backbone.load_state_dict(stock.detector.backbone.state_dict())
    parts = ("classification_head", "regression_head")
    for place, part in enumerate(parts):
        given, taken = getattr(stock.detector.head, part), getattr(bridged.detector.head.head, part)
        bridged.detector.head.towers[place].load_state_dict(given.conv.state_dict())
        rest = {name: value for name, value in given.state_dict().items() if not name.startswith("conv.")}
        taken.load_state_dict(rest)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(bridged(x), stock(x))


@pytest.mark.parametrize("kind", ["FasterRCNN", "SSDLite"])
def test_other_heads_are_not_bridged(kind):
    with pytest.raises(ValueError, match="bridging goes into the heads of FCOS and RetinaNet, not into"):
        detector(kind, head=BridgedHead)


def test_any_neck_goes_between():
    def sepc(channels):
        return SEPC(channels, channels=32, depth=1)

    assert isinstance(detector("RetinaNet", neck=sepc).detector.backbone.neck, SEPC)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("FCSO", {}, "detector='FCSO': there is no such detector; did you mean FCOS?"),
        ("FCOS", {"finest": 32}, "finest=32: the maps of PreResNet have strides up to 16 alone"),
        ("FCOS", {"finest": 0}, "finest=0 must be positive"),
        ("FCOS", {"neck": partial(FPN, channels=40)}, "FCOS has norms of 32 groups, so .* multiples of 32, not 40"),
        ("FCOS", {"min_score": 1.0}, "min_score=1.0 at least 0 and below 1"),
        ("FCOS", {"neck": lambda channels: Widths()}, r"FCOS takes maps of one number of channels, .*: FPN makes one"),
    ],
)
def test_what_can_t_be_is_refused(kind, options, said):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        detector(kind, **options)


def test_maps_that_grow_finer_are_no_pyramid():
    """A U's way up, or the streams of late fusion: what is not looked at would have no gradient."""
    with pytest.raises(ValueError, match="MAXIM: maps of strides 8, 4, 2, 1 are no pyramid"):
        Detector("FCOS", MAXIM(0, 3, width=8, depth=1), 3, neck)


class Widths(nn.Module):
    """Leaves maps as they are."""

    def forward(self, maps):
        return list(maps)


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("FCOS", ["stage3.-1", "backbone.neck.convs.0", "backbone.neck.laterals.1"]),
        ("FCOS", ["stage3.-1", "head.classification_head.conv.0", "head.regression_head.conv.4"]),
        ("FasterRCNN", ["stage2.0", "backbone.neck.convs.0", "rpn.head.conv.0"]),
        ("SSDLite", ["stage2.0", "head.classification_head.module_list.0.0", "backbone.beyond.blocks.1"]),
    ],
)
def test_blocks_go_into_backbone_neck_and_heads(kind, places):
    network = detector(kind).eval()
    before = network(torch.ones(1, 3, 64, 64))
    places = [place if place.startswith("stage") else f"detector.{place}" for place in places]
    apply_plugs(network, [Plug(SpectralNonlocal, places)], example=torch.zeros(1, 3, 64, 64))
    assert sum(isinstance(module, SpectralNonlocal) for module in network.modules()) == 3
    assert torch.equal(network(torch.ones(1, 3, 64, 64)), before)  # each begins as the identity


def test_in_training_there_are_no_boxes():
    with pytest.raises(ValueError, match="in training it has losses"):
        detector("FCOS")(torch.zeros(1, 3, 64, 64))


def test_an_export_is_refused_in_one_line():
    with pytest.raises(ValueError, match="how many objects are compared depends on the picture"):
        torch.export.export(detector("FCOS").eval(), (torch.zeros(1, 3, 64, 64),), strict=False)
