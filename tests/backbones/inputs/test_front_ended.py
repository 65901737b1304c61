"""A front end before a backbone: paths, stages and costs are the backbone's, the input is the waveform."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.export import Dim, export
from torch.optim import SGD

from blockyard import plug
from blockyard.backbones import FrontEnded, LabelDenoiser, LogMel, PreResNet, TimmBackbone
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_macs, count_parameters
from blockyard.objectives import LocalReconstruction, NoProp, SortedNet
from blockyard.tasks import AudioClassification, ImageClassification

SMALL = partial(PreResNet, depth=8)


def network(backbone=SMALL) -> FrontEnded:
    return FrontEnded(5, 1, LogMel(n_mels=32), backbone).eval()


def test_is_the_backbone_on_the_spectrogram():
    whole, x = network(), torch.randn(2, 1, 4000)
    spectrogram = whole.front_end(x)
    assert spectrogram.shape == (2, 1, 32, 26)
    assert torch.equal(whole(x), whole.backbone(spectrogram))
    for stage, features in zip(whole.stages, whole.features(x), strict=True):
        assert features.shape == (2, stage.channels, 32 // stage.stride, -(-26 // stage.stride))


@pytest.mark.parametrize(
    ("backbone", "path"),
    [
        (SMALL, "backbone.layer2.0"),
        (partial(TimmBackbone, name="resnet18"), "backbone.net.layer2.1"),
    ],
)
def test_plugs_address_the_backbone(backbone, path):
    whole = network(backbone)
    before, x = count_parameters(whole), torch.randn(1, 1, 8000)
    expected = whole(x)
    plug(whole, SpectralNonlocal, "stage2.-1", example=torch.zeros(1, 1, 8000), quiet=True)
    assert torch.equal(whole(x), expected)  # the block starts as the identity
    assert count_parameters(whole) > before
    assert type(whole.get_submodule(path)).__name__ == "Plugged"
    plug(whole, SpectralNonlocal, "layer1.0", example=torch.zeros(1, 1, 8000), quiet=True)


def test_costs_are_those_of_a_waveform():
    whole = network()
    backbone = count_macs(whole.backbone, (1, 32, 26))
    filters = 32 * 201 * 26  # the mel filters are a matrix product; of Fourier transforms there is no count
    assert count_macs(whole, (1, 4000)) == backbone + filters


def test_exports_with_the_front_end():
    whole, x = network(), torch.randn(3, 1, 4000)
    exported = export(whole, (x[:2],), dynamic_shapes=({0: Dim("batch")},)).module()
    torch.testing.assert_close(exported(x), whole(x))


def test_bands_are_channels_of_a_network_in_one_dimension():
    whole = FrontEnded(5, 1, LogMel(n_mels=32, as_channels=True), partial(SMALL, spatial_dims=1)).eval()
    x = torch.randn(2, 1, 4000)
    bands = whole.front_end(x)
    assert torch.equal(bands, network().front_end(x)[:, 0])
    assert torch.equal(whole(x), whole.backbone(bands))
    assert whole.front_end(x[:0]).shape == (0, 32, 26)
    torch.testing.assert_close(export(whole, (x,)).module()(x), whole(x))


@pytest.mark.parametrize(("as_channels", "rank"), [(True, 2), (None, 1)])
def test_networks_of_another_rank_are_refused(as_channels: bool | None, rank: int):
    with pytest.raises(ValueError, match=rf"\(option as_channels\): PreResNet is for inputs of rank {rank}"):
        FrontEnded(5, 1, LogMel(as_channels=as_channels), partial(SMALL, spatial_dims=rank))


def test_takes_one_channel():
    with pytest.raises(ValueError, match="waveforms of 1 channel, got 2"):
        FrontEnded(5, 2, LogMel(), PreResNet)


@pytest.mark.parametrize(
    ("objective", "network"),
    [
        (partial(LocalReconstruction, parts=2), partial(PreResNet, depth=8, width=4, dropout=0.0)),
        (partial(SortedNet, widths=[0.5, 1], drawn=2), partial(PreResNet, depth=8, width=4, dropout=0.0)),
        (NoProp, partial(LabelDenoiser, steps=2, hidden=8, encoder=partial(PreResNet, depth=8, width=2))),
    ],
)
def test_parts_of_a_network_behind_it_learn_as_from_spectrograms(objective, network):
    """The loss is that of the network alone on what the front end makes of the waveforms."""
    mel = LogMel(sample_rate=8000, n_fft=256, n_mels=16)
    wave, target = torch.randn(3, 1, 2000), torch.tensor([0, 2, 1])
    maps = mel(wave)
    behind = AudioClassification(network, 3, (1, 2000), front_end=mel, objective=objective(), optimizer=SGD)
    alone = ImageClassification(network, 3, tuple(maps.shape[1:]), objective=objective(), optimizer=SGD)
    alone.network.load_state_dict(behind.network.backbone.state_dict())
    heads = {name.replace("backbone.", ""): tensor for name, tensor in behind.objective.state_dict().items()}
    alone.objective.load_state_dict({name: heads[name] for name in alone.objective.state_dict()})
    losses = []
    for task, x in ((behind, wave), (alone, maps)):
        torch.manual_seed(4)
        losses.append(task.objective.loss(task, {"input": x, "target": target})[0])
    assert torch.equal(*losses)
