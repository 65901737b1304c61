"""Vectors of pictures and tracklets."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from blockyard.backbones import Framewise, PreResNet, PyTorchVideoBackbone, TimmBackbone
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_parameters
from blockyard.heads.embedding import Embedding
from blockyard.plugging import plug
from blockyard.poolings import GeM, ISqrtCov

PICTURE, CLIP = (3, 64, 32), (3, 4, 64, 32)


def clips(temporal: str = "mean") -> Embedding:
    return Embedding(Framewise(7, name="resnet10t", last_stride=1), 7, CLIP, temporal)


def test_resnet50_of_the_strong_baseline_has_its_parameters():
    network = Embedding(TimmBackbone(751, name="resnet50", last_stride=1), 751, (3, 256, 128))
    stock = 25_557_032 - (2048 * 1000 + 1000)
    neck, classifier = 2 * 2048, 2048 * 751
    assert count_parameters(network) == stock + neck + classifier
    assert not network.neck.bias.requires_grad
    assert network.neck.bias.count_nonzero() == 0


def test_what_is_compared_lies_behind_the_neck_and_what_is_trained_on_before_it():
    network = Embedding(PreResNet(7, depth=8), 7, PICTURE).train()
    x = torch.randn(4, *PICTURE)
    vectors, logits = network.identify(x)
    assert vectors.shape == (4, 64)
    assert logits.shape == (4, 7)
    network.eval()
    torch.testing.assert_close(network(x), network.neck(network.pool(x)))


@pytest.mark.parametrize("temporal", ["mean", "attention", "rnn"])
def test_every_parameter_that_is_trained_gets_a_gradient(temporal):
    network = clips(temporal).train()
    vectors, logits = network.identify(torch.randn(2, *CLIP))
    (vectors.square().sum() + logits.square().sum()).backward()
    dead = {name for name, p in network.named_parameters() if p.grad is None}
    assert dead == {"neck.bias"}


def test_a_clip_of_equal_frames_is_its_frame():
    network = clips().eval()
    frame = torch.randn(2, 3, 1, 64, 32)
    # Equal up to the rounding of convolutions over larger batches.
    torch.testing.assert_close(network(frame.expand(-1, -1, 4, -1, -1)), network(frame), rtol=1e-4, atol=1e-5)


def test_mean_and_attention_do_not_depend_on_the_order_of_frames_and_an_lstm_does():
    x = torch.randn(1, *CLIP)
    for temporal, same in (("mean", True), ("attention", True), ("rnn", False)):
        network = clips(temporal).eval()
        assert torch.allclose(network(x), network(x.flip(2)), atol=1e-4) is same


@pytest.mark.parametrize("at", ["space-time stage3.-1", "layer3.0", "five-in-res3-res4"])
def test_blocks_go_into_the_backbone_by_its_own_paths(at):
    network = Embedding(Framewise(7, name="resnet26", last_stride=1), 7, CLIP) if "five" not in at else None
    if network is None:
        network = Embedding(PyTorchVideoBackbone(7, name="c2d_r50"), 7, CLIP)
    x = torch.randn(1, *CLIP)
    before = network.eval()(x)
    plug(network, partial(SpectralNonlocal), at, example=torch.zeros(1, *CLIP))
    assert torch.equal(network.eval()(x), before)


def test_pictures_have_no_time():
    with pytest.raises(ValueError, match="temporal=rnn is for clips"):
        Embedding(PreResNet(7, depth=8), 7, PICTURE, "rnn")


def test_a_backbone_of_several_maps_is_refused():
    with pytest.raises(ValueError, match="has no stages"):
        Embedding(PyTorchVideoBackbone(7, name="slowfast_r50"), 7, (3, 32, 64, 64))


@pytest.mark.parametrize("temporal", [None, "mean", "attention"])
def test_a_pooling_stands_in_place_of_the_mean_of_pictures_and_of_every_frame(temporal):
    """With p = 1 and a rectified map it is the mean."""
    make = {"name": "resnet10t", "last_stride": 1}
    poolings = (None, partial(GeM, power=1.0))
    if temporal is None:
        networks = [Embedding(TimmBackbone(7, **make), 7, PICTURE, pooling=pooling) for pooling in poolings]
    else:
        networks = [Embedding(Framewise(7, **make), 7, CLIP, temporal, pooling) for pooling in poolings]
    x = torch.randn(2, *(PICTURE if temporal is None else CLIP))
    networks[1].load_state_dict(networks[0].state_dict(), strict=False)
    plain, pooled = (network.eval()(x) for network in networks)
    torch.testing.assert_close(pooled, plain, rtol=1e-4, atol=1e-5)


def test_a_pooling_decides_how_long_the_vectors_are():
    network = Embedding(PreResNet(7, depth=8), 7, PICTURE, pooling=partial(ISqrtCov, inner=4))
    assert network.features == network.neck.num_features == network.classifier.in_features == 10
