"""The last map and the logits from one pass: the logits are those of the network, and of that map."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from blockyard.backbones import (
    Backbone,
    Framewise,
    FrontEnded,
    LogMel,
    PDCNet,
    PreResNet,
    PyTorchVideoBackbone,
    TimmBackbone,
)

FRONT_END = LogMel(8000, 256, n_mels=32, hop_length=80)
NETWORKS = {
    "PreResNet": (PreResNet(5), (3, 32, 32), (64, 8, 8)),
    "PDCNet": (PDCNet(5), (3, 32, 32), (256, 4, 4)),
    "PreResNet of sequences": (PreResNet(5, 1, spatial_dims=1), (1, 64), (64, 16)),
    "waveforms": (FrontEnded(5, 1, FRONT_END, partial(PreResNet, depth=8)), (1, 4000), None),
    **{
        f"frames, {head}": (Framewise(5, name="resnet10t", temporal=head), (3, 4, 64, 64), (4, 512, 2, 2))
        for head in ("mean", "attention", "lstm", "consensus")
    },
    **{
        name: (TimmBackbone(5, name=name), (3, 64, 64), expected)
        for name, expected in {
            "resnet10t": (512, 2, 2),
            "mobilenetv3_small_050": (288, 2, 2),
            "efficientnet_b0": (1280, 2, 2),
            "convnext_atto": (320, 2, 2),
            "densenet121": (1024, 2, 2),
        }.items()
    },
    "vit_tiny_patch16_224": (TimmBackbone(5, name="vit_tiny_patch16_224"), (3, 224, 224), (197, 192)),
    "video": (PyTorchVideoBackbone(5, name="x3d_xs"), (3, 4, 64, 64), (192, 4, 2, 2)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_network_in_one_pass(name: str):
    network, size, expected = NETWORKS[name]
    x = torch.randn(2, *size)
    passes = []
    first = next(module for module in network.modules() if hasattr(module, "stride"))
    handle = first.register_forward_hook(lambda *_: passes.append(1))
    last, logits = network.eval().map_and_logits(x)
    handle.remove()
    assert len(passes) == 1
    assert expected is None or last.shape == (2, *expected)
    assert len(last) == 2
    assert torch.equal(logits, network(x))


@pytest.mark.parametrize("name", [name for name in NETWORKS if not name.startswith("frames")])
def test_the_logits_are_made_of_the_map(name: str):
    network, size, _ = NETWORKS[name]
    last, logits = network.train().map_and_logits(torch.randn(2, *size))
    (gradient,) = torch.autograd.grad(logits.logsumexp(1).sum(), last)
    assert gradient.abs().sum() > 0


def test_a_network_whose_head_takes_two_maps_has_no_last_map():
    network = PyTorchVideoBackbone(5, name="slowfast_r50")
    with pytest.raises(ValueError, match="slowfast_r50 ends in no single map"):
        network.map_and_logits(torch.randn(1, 3, 32, 64, 64))


def test_a_backbone_without_a_head_says_so():
    class Silent(Backbone):
        def features(self, x: Tensor) -> list[Tensor]:
            return [x]

    with pytest.raises(ValueError, match="Silent has no head that classifies its last map"):
        Silent(5)(torch.randn(1, 3, 8, 8))
