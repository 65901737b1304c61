"""Trunks: what the maps do not pass is gone, and nothing else; with a head, the logits are made of the last map."""

from __future__ import annotations

from functools import partial

import pytest
import timm
import torch
from torch import Tensor, nn

from blockyard.backbones import (
    Backbone,
    BackboneFeatures,
    Framewise,
    FrontEnded,
    LogMel,
    PDCNet,
    PreResNet,
    PyTorchVideoBackbone,
    Stage,
    TimmBackbone,
    TimmFeatures,
)
from blockyard.poolings import ISqrtCov

PICTURE, CLIP, WAVE = (3, 64, 64), (3, 4, 64, 64), (1, 4000)
FRONT_END = LogMel(8000, 256, n_mels=32, hop_length=80)
CASES = {
    "PreResNet": (partial(PreResNet, depth=8), PICTURE, 2 * 64 + 64 * 64 + 2 * 64 + 64 * 5 + 5),
    "PDCNet": (PDCNet, PICTURE, 256 * 5 + 5),
    "TimmBackbone": (partial(TimmBackbone, name="resnet18"), PICTURE, 512 * 5 + 5),
    "bottlenecks": (partial(TimmBackbone, name="resnet26", last_stride=1), PICTURE, 2048 * 5 + 5),
    "attention": (partial(Framewise, temporal="attention"), CLIP, 512 * 5 + 5 + 512),
    "LSTM": (partial(Framewise, temporal="lstm", hidden=4), CLIP, 4 * (512 + 4 + 2) * 4 + 4 * 5 + 5),
    "video": (partial(PyTorchVideoBackbone, name="c2d_r50"), CLIP, 2048 * 5 + 5),
    "waveforms": (
        partial(FrontEnded, front_end=FRONT_END, backbone=partial(PreResNet, depth=8)),
        WAVE,
        2 * 64 + 64 * 64 + 2 * 64 + 64 * 5 + 5,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_trunk_is_the_network_without_what_the_maps_do_not_pass(name: str):
    make, shape, gone = CASES[name]
    network, x = make(5, shape[0]), torch.randn(2, *shape)
    whole = network.state_dict()
    before = sum(p.numel() for p in network.parameters())
    with torch.no_grad():
        expected = network.eval().features(x)
        assert network(x).shape == (2, 5)
    assert network.train().trunk() is network
    assert network.training
    assert before - sum(p.numel() for p in network.parameters()) == gone
    maps = network.eval()(x)
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    assert [m.shape[1] for m in maps] == [stage.channels for stage in network.stages]
    network.train()(x)[-1].square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    own = [key for key in whole if key.startswith(network.stock_path)]
    network.load_state_dict({key: whole[key] for key in own})  # a checkpoint with a head loads later too


@pytest.mark.parametrize("name", CASES)
def test_a_network_for_no_classes_is_its_trunk(name: str):
    make, shape, _ = CASES[name]
    assert make(0, shape[0]).state_dict().keys() == make(5, shape[0]).trunk().state_dict().keys()


def test_segmentation_s_names_are_those_trunks():
    torch.manual_seed(0)
    one = TimmFeatures(name="resnet10t").state_dict()
    torch.manual_seed(0)
    other = TimmBackbone(1, name="resnet10t").trunk().state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[key], other[key]) for key in one)
    features = BackboneFeatures(0, 3, partial(TimmBackbone, name="resnet10t"))
    assert [stage.path for stage in features.stages] == [f"net.net.layer{i}" for i in (1, 2, 3, 4)]
    assert {f"net.{key}" for key in one} == features.state_dict().keys()
    with pytest.raises(ValueError, match="BackboneFeatures has no head: give 5 classes to its backbone itself"):
        BackboneFeatures(5, 3, PreResNet)


def test_timm_s_own_head_stays_timm_s():
    torch.manual_seed(0)
    stock = timm.create_model("resnet10t", num_classes=5)
    torch.manual_seed(0)
    backbone = TimmBackbone(5, name="resnet10t")
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(backbone.eval()(x), stock.eval()(x))


def test_the_trunk_draws_first_and_the_classifier_last():
    """Networks for other classes begin with the same trunk, and what is made after equal ones is equal."""
    for make in (PreResNet, PDCNet):
        states = []
        for classes in (3, 7):
            torch.manual_seed(0)
            states.append(make(classes).state_dict())
        assert [key for key in states[0] if not torch.equal(states[0][key].flatten(), states[1][key].flatten())] == [
            "fc.weight",
            "fc.bias",
        ]


@pytest.mark.parametrize("make", [partial(PreResNet, 0), partial(TimmBackbone, 0, name="resnet10t")])
def test_a_pooling_is_a_head_s(make):
    with pytest.raises(ValueError, match="pooling is for classification; here its last map itself is used"):
        make(pooling=ISqrtCov)


def test_a_network_of_one_s_own_needs_stages_features_and_a_head():
    class Own(Backbone):
        stages = (Stage("conv", 8, 1),)

        def __init__(self, num_classes: int = 0, in_channels: int = 3) -> None:
            super().__init__(num_classes, in_channels)
            self.conv = nn.Conv2d(in_channels, 8, 3, padding=1)
            self.make_head(8, dropout=0.5)

        def features(self, x: Tensor) -> list[Tensor]:
            return [self.conv(x)]

    network, x = Own(5).eval(), torch.randn(2, 3, 8, 8)
    last, logits = network.map_and_logits(x)
    torch.testing.assert_close(logits, network.fc(last.mean((2, 3))))
    assert torch.equal(network(x), logits)
    assert torch.equal(network.trunk()(x)[0], last)
    assert network.state_dict().keys() == {"conv.weight", "conv.bias"}
