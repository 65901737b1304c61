"""The graphs that blocks see in a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from blockyard import plug
from blockyard.analysis.graph_looking import graph_blocks, look
from blockyard.backbones import PreResNet
from blockyard.blocks import GraphBlock, Nonlocal, SpectralNonlocal, SqueezeExcitation, list_blocks

ABLE = [kind for kind in list_blocks() if issubclass(kind, GraphBlock) and kind.__module__.startswith("blockyard.")]
ROWS_SUM_TO = {"AdaptiveHops": None, "DisentangledNonlocal": 2.0, "SpectralNonlocal": None}
PICTURE = torch.randn(1, 1, 16, 12, generator=torch.Generator().manual_seed(0))


def plugged(*plugs: tuple[object, str]) -> nn.Module:
    torch.manual_seed(0)
    network = PreResNet(10, 1, depth=8)
    for block, at in plugs:
        plug(network, block, at)
    return network


@pytest.mark.parametrize("kind", ABLE, ids=lambda kind: kind.__name__)
def test_what_a_block_adds_up_to_is_its_operator(kind):
    """The matrix is what the block applies: rows as the softmax of each family has them, and A z as apply gives it."""
    network = plugged((kind, "stage2.0"))
    (graph,) = look(network, PICTURE)
    assert graph.place == "layer2.0"
    assert graph.size == graph.keys == (8, 6)
    assert graph.matrices.shape[1:] == (48, 48)
    expected = ROWS_SUM_TO.get(kind.__name__, 1.0)
    if expected is not None:
        np.testing.assert_allclose(graph.matrices.sum(2), expected, rtol=1e-12)
    x, z = torch.randn(1, 32, 8, 6).double(), torch.randn(1, 32, 48).double()
    operator = graph_blocks(network)["layer2.0"].double().operator(x)
    assert len(graph.matrices) == len(operator.dense())
    torch.testing.assert_close(operator.apply(z)[0], z[0] @ operator.dense()[0].T)


def test_the_network_is_left_as_it_was_and_runs_in_evaluation():
    network = plugged((SpectralNonlocal, "stage2.0")).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = look(network, PICTURE), look(network, PICTURE)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    np.testing.assert_array_equal(first[0].matrices, second[0].matrices)
    assert not graph_blocks(network)["layer2.0"]._forward_pre_hooks


def test_each_block_sees_what_it_is_given():
    """Every plug is found, also two at one place and inside others; a block without a graph is passed over."""
    network = plugged((Nonlocal, "stage1.0"), (Nonlocal, "stage3.0"), (SqueezeExcitation, "stage2.0"))
    assert [graph.place for graph in look(network, PICTURE)] == ["layer1.0", "layer3.0"]
    assert [graph.size for graph in look(network, PICTURE)] == [(16, 12), (4, 3)]
    twice = plugged((Nonlocal, "stage2.0"), (SpectralNonlocal, "stage2.0"))
    assert [type(block) for block in graph_blocks(twice).values()] == [Nonlocal, SpectralNonlocal]


def test_a_query_reads_the_row_of_its_position():
    network = plugged((Nonlocal, "stage2.0"))
    (graph,) = look(network, PICTURE)
    row = graph.matrices[0, 3 * 6 + 4].reshape(8, 6)
    np.testing.assert_array_equal(graph.seen_from(6.9 / 16, 9 / 12), row)
    np.testing.assert_array_equal(graph.seen_from(0, 0), graph.matrices[0, 0].reshape(8, 6))
    with pytest.raises(ValueError, match="outside the picture"):
        graph.seen_from(1.0, 0)


def test_pooled_keys_are_a_smaller_picture():
    network = PreResNet(10, 1, depth=8)
    plug(network, lambda channels, rank: Nonlocal(channels, rank, pool="after"), "stage2.0")
    (graph,) = look(network, PICTURE)
    assert (graph.size, graph.keys) == ((8, 6), (4, 3))
    assert graph.seen_from(0.5, 0.5).shape == (4, 3)


def test_refuses_what_is_no_picture_or_too_large(monkeypatch):
    clip = nn.Sequential(Nonlocal(4, 3))
    with pytest.raises(ValueError, match="over 3 axes"):
        look(clip, torch.randn(1, 4, 2, 4, 4))
    monkeypatch.setattr("blockyard.analysis.graph_looking.LARGEST", 15)
    with pytest.raises(ValueError, match="4×4 positions are more than 15; give a smaller picture"):
        look(nn.Sequential(Nonlocal(4)), torch.randn(1, 4, 4, 4))
