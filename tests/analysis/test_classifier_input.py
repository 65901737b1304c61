"""Features are what the classifier sees, and reading them changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.analysis.classifier_input import ClassifierInput
from blockyard.backbones import Framewise, PreResNet, PyTorchVideoBackbone, TimmBackbone
from blockyard.blocks import SpectralNonlocal
from blockyard.plugging import plug

PICTURES, CLIPS = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 4, 64, 64)
CLASSIFIERS = {
    "PreResNet": (lambda: PreResNet(5), PICTURES, "fc"),
    "ResNet": (lambda: TimmBackbone(5), PICTURES, "net.fc"),
    "token transformer": (lambda: TimmBackbone(5, name="test_vit"), torch.randn(2, 3, 160, 160), "net.head"),
    "3-D ResNet": (lambda: PyTorchVideoBackbone(5, name="slow_r50"), CLIPS, "net.blocks.5.proj"),
    "X3D": (lambda: PyTorchVideoBackbone(5, name="x3d_xs"), CLIPS, "net.blocks.5.proj"),
    "frames": (lambda: Framewise(5), CLIPS, "frame.net.fc"),
    "frames, attention": (lambda: Framewise(5, temporal="attention"), CLIPS, "frame.net.fc"),
    "frames, consensus": (lambda: Framewise(5, temporal="consensus"), CLIPS, "frame.net.fc"),
}


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_the_classifier_makes_the_networks_logits_of_them(case):
    make, x, path = CLASSIFIERS[case]
    network = make().eval()
    features = ClassifierInput(network, 5, x[:1])
    classifier = network.get_submodule(path)
    with torch.no_grad():
        vectors, logits = features(x), network(x)
        assert vectors.shape == (2, classifier.in_features)
        # one matrix product more or less in float32
        torch.testing.assert_close(classifier(vectors), logits, rtol=1e-4, atol=1e-5)


def test_of_a_resnet_they_are_the_mean_of_the_last_map():
    network = TimmBackbone(5).eval()
    with torch.no_grad():
        expected = network.features(PICTURES)[-1].mean((2, 3))
        torch.testing.assert_close(ClassifierInput(network, 5, PICTURES[:1])(PICTURES), expected)


def test_of_steps_in_time_they_are_the_mean():
    network = Framewise(5, temporal="lstm", hidden=6).eval()
    features = ClassifierInput(network, 5, CLIPS[:1])
    with torch.no_grad():
        frames = network.frame.net(CLIPS.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 4))
        torch.testing.assert_close(features(CLIPS), network.recurrent.lstm(frames)[0].mean(1))


def test_of_crops_they_are_the_mean():
    network, crops = TimmBackbone(5).eval(), torch.randn(2, 3, 3, 32, 32)
    features = ClassifierInput(network, 5, PICTURES[:1])
    with torch.no_grad():
        expected = torch.stack([features(crop) for crop in crops.unbind(1)]).mean(0)
        torch.testing.assert_close(features(crops), expected, rtol=1e-4, atol=1e-5)  # batches of other sizes


def test_of_a_compiled_network_they_are_the_same():
    network = PreResNet(5).eval()
    with torch.no_grad():
        before = ClassifierInput(network, 5, PICTURES[:1])(PICTURES)
        network.compile(backend="eager")
        network(PICTURES)
        assert torch.equal(ClassifierInput(network, 5, PICTURES[:1])(PICTURES), before)


def test_a_block_in_the_network_counts():
    network, x = PreResNet(5).eval(), PICTURES
    with torch.no_grad():
        before = ClassifierInput(network, 5, x[:1])(x)
        plug(network, SpectralNonlocal, "layer2.1", example=x[:1])
        block = next(module for module in network.modules() if isinstance(module, SpectralNonlocal))
        torch.testing.assert_close(ClassifierInput(network, 5, x[:1])(x), before)  # an identity at the start
        for parameter in block.parameters():
            parameter.normal_()
        assert not torch.allclose(ClassifierInput(network, 5, x[:1])(x), before, atol=1e-3)


def test_finding_the_classifier_leaves_no_trace():
    network = PreResNet(5).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    ClassifierInput(network, 5, PICTURES[:1])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training and not module._forward_hooks for module in network.modules())


def test_refuses_a_network_without_a_linear_end():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 5), nn.BatchNorm1d(5))
    with pytest.raises(ValueError, match="ends in BatchNorm1d, not in a linear map onto the 5 classes"):
        ClassifierInput(network, 5, PICTURES[:1])
    with pytest.raises(ValueError, match="ends in Linear, not in a linear map onto the 7 classes"):
        ClassifierInput(network[:2], 7, PICTURES[:1])
