"""Late fusion is the mean of probabilities, of identical networks the one; still clips have no differences."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from blockyard import plug
from blockyard.backbones import LateFusion, PreResNet
from blockyard.backbones.skeletons.late_fusion import differences
from blockyard.blocks import ECA

SMALL = partial(PreResNet, depth=8, width=4, dropout=0.0, spatial_dims=1)
ALL = ("all", "differences", "attention", [0, 2], [1])
FUSED = partial(LateFusion, 3, 4, SMALL)


def test_late_fusion_of_identical_networks_is_the_one():
    network, x = FUSED(streams=["all"] * 3).double().eval(), torch.randn(2, 4, 24, dtype=torch.float64)
    for other in network.streams[1:]:
        other.load_state_dict(network.streams[0].state_dict())
    torch.testing.assert_close(network(x), network.streams[0](x).log_softmax(1))


def test_the_probability_is_the_mean_of_the_streams():
    network, x = FUSED(streams=ALL).double().eval(), torch.randn(2, 4, 24, dtype=torch.float64)
    scores = [one(part).softmax(1) for one, part in zip(network.streams, network.parts(x), strict=True)]
    torch.testing.assert_close(network(x).softmax(1), torch.stack(scores).mean(0))
    torch.testing.assert_close(network(x).exp().sum(1), torch.ones(2, dtype=torch.float64))
    last, logits = network.map_and_logits(x)
    assert torch.equal(logits, network(x))
    assert last.shape == (2, 5 * 16, 6)


@pytest.mark.parametrize("size", [(9,), (9, 5, 6)])
def test_differences_of_a_still_clip_are_zero_and_sum_to_the_way(size: tuple[int, ...]):
    still = torch.randn(2, 4, 1, *size[1:]).expand(2, 4, *size)
    assert not differences(still).any()
    moving = torch.randn(2, 4, *size, dtype=torch.float64)
    torch.testing.assert_close(differences(moving).sum(2), moving[:, :, -1] - moving[:, :, 0])


def test_streams_are_channels_differences_and_gated_channels():
    network, x = FUSED(streams=ALL), torch.randn(2, 4, 24)
    whole, changes, gated, pair, one = network.parts(x)
    assert torch.equal(whole, x)
    assert torch.equal(changes, differences(x))
    assert torch.equal(pair, x[:, [0, 2]])
    assert torch.equal(one, x[:, [1]])
    gates = gated / x
    assert ((gates > 0) & (gates < 1)).all()
    # a gate for each channel times one for each frame is a matrix of rank one
    torch.testing.assert_close(gates[:, :1, :1] * gates, gates[:, :, :1] * gates[:, :1], rtol=1e-3, atol=1e-5)


def test_stages_are_all_networks_and_plugs_find_them():
    network, x = FUSED(streams=ALL).eval(), torch.randn(2, 4, 24)
    assert [stage.path for stage in network.stages[2:4]] == ["streams.0.layer3", "streams.1.layer1"]
    maps = network.features(x)
    assert [m.shape[1] for m in maps] == [stage.channels for stage in network.stages]
    plugged = plug(network, ECA, ["stage2.0", "streams.*.layer3"], example=(1, 4, 24), quiet=True)
    assert plugged(x).shape == (2, 3)
    assert sum(isinstance(module, ECA) for module in plugged.modules()) == 6
    trunk = FUSED(streams=ALL).trunk()
    assert len(trunk(x)) == 15
    assert LateFusion(0, 4, SMALL, ALL).state_dict().keys() == trunk.state_dict().keys()


def test_every_parameter_learns_in_one_and_in_three_dimensions():
    for rank, size in ((1, (24,)), (3, (6, 8, 8))):
        network = LateFusion(3, 4, partial(SMALL, spatial_dims=rank), ALL)
        network(torch.randn(3, 4, *size)).square().sum().backward()
        assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        ([], "a stream at least: all, differences, attention, or a list"),
        (["some"], "no stream 'some'; it is all, differences, attention"),
        ([[0, 4]], r"part \[0, 4\] has channels once each, from 0 to 3"),
        ([[]], r"part \[\] has channels"),
        ([[1, 1]], r"part \[1, 1\] has channels once each"),
    ],
)
def test_other_streams_are_refused(streams: list, said: str):
    with pytest.raises(ValueError, match=said):
        FUSED(streams=streams)
