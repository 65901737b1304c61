"""A convolution of learned functions beside a network on unfolded patches, and what selecting one kind leaves."""

from __future__ import annotations

import copy
import io
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones import MetaFormer
from blockyard.blocks import SelectableKAN
from blockyard.blocks.convolutions import selectable_kan
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.convolutions.function_bases import BASES
from blockyard.costs import count_macs
from blockyard.plugging.merging import merge

SIZE = (5, 6, 4)
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


def draw(rank: int = 2, channels: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(2, channels, *SIZE[:rank], generator=generator, dtype=torch.float64)


def made(rank: int = 2, **options) -> SelectableKAN:
    block = SelectableKAN(4, rank, **options).double()
    nn.init.normal_(block.gates)
    return block


def by_hand(block: SelectableKAN, x: Tensor, gates: Tensor) -> Tensor:
    """Each output is a sum over the inputs of its patch of a function of its own."""
    g = block.geometry
    x = F.pad(x, [number for size in reversed(g.padding) for number in (size, size)])
    for axis, (taps, stride) in enumerate(zip(g.kernel_size, g.stride, strict=True)):
        x = x.unfold(2 + axis, taps, stride)  # (B, C, *S', *K)
    rank, letters = len(g.kernel_size), "xyz"[: len(g.kernel_size)]
    total = torch.zeros(())
    for gate, kind, weight in zip(gates, block.pool, block.weights, strict=True):
        values = BASES[kind](x.flatten(2).tanh(), block.count).unflatten(3, x.shape[2:])  # (B, C, count, *S', *K)
        taps = "klm"[:rank]
        parts = []
        for group in range(g.groups):
            of = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
            out = slice(group * len(weight) // g.groups, (group + 1) * len(weight) // g.groups)
            form = f"bcn{letters}{taps},ocn{taps}->bo{letters}"
            parts.append(torch.einsum(form, values[:, of], weight[out]))
        total = total + gate * torch.cat(parts, 1)
    return total if block.bias is None else total + block.bias.view(-1, *(1,) * rank)


@RANKS
def test_it_is_a_gated_sum_of_functions_of_the_inputs_of_a_patch(rank: int):
    block, x = made(rank), draw(rank)
    torch.testing.assert_close(block(x), by_hand(block, x, block.gates.softmax(0)))


@RANKS
def test_it_takes_over_stride_groups_and_bias_of_a_convolution(rank: int):
    host = CONVOLUTIONS[rank](4, 6, 3, stride=2, padding=1, groups=2)
    block, x = made(rank, host=host), draw(rank)
    assert block(x).shape == host.double()(x).shape
    torch.testing.assert_close(block(x), by_hand(block, x, block.gates.softmax(0)))


@pytest.mark.parametrize("kind", BASES)
def test_a_pool_of_one_kind_is_that_network(kind: str):
    block, x = made(pool=[kind]), draw()
    torch.testing.assert_close(block(x), by_hand(block, x, torch.ones(1)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", BASES)
def test_after_selecting_it_is_that_block_and_no_other_kind_is_computed(kind: str, training: bool, monkeypatch):
    block, x = made(), draw()
    assert block.keep(kind) == block.selected == kind
    alone = made(pool=[kind])
    alone.weights[0].data.copy_(block.weights[block.pool.index(kind)])
    monkeypatch.setattr(selectable_kan, "BASES", {kind: BASES[kind]})
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(block(x), alone(x), rtol=0, atol=0)
    assert count_macs(block, (4, 5, 6)) == count_macs(alone, (4, 5, 6))
    if training:  # as several processes expect it
        block(x).square().sum().backward()
        idle = [parameter.grad.abs().max() for parameter in block.resting()]
        assert len(idle) == len(block.pool)
        assert not any(idle)
        assert block.weights[block.pool.index(kind)].grad.any()


def test_by_itself_it_keeps_the_kind_of_the_largest_gate():
    block = made()
    block.gates.data = torch.tensor([0.0, 1.0, 3.0, 2.0])
    assert block.keep() == block.pool[2] == "wavelet"


def test_a_checkpoint_says_what_is_kept():
    block, fresh, x = made(), nn.Sequential(made()), draw()
    for kept in ("radial", None):
        if kept:
            block.keep(kept)
        else:
            block = made()
        file = io.BytesIO()
        torch.save(nn.Sequential(block).state_dict(), file)
        file.seek(0)
        fresh.load_state_dict(torch.load(file, weights_only=True))
        assert fresh[0].selected == copy.deepcopy(fresh)[0].selected == kept
        torch.testing.assert_close(fresh(x), block(x))


def test_merged_it_has_the_kept_kind_alone():
    network, x = nn.Sequential(made(), nn.ReLU()).eval(), draw()
    whole = merge(network)
    assert sum(p.numel() for p in whole.parameters()) == sum(p.numel() for p in network.parameters())
    network[0].keep("chebyshev")
    small = merge(network)
    assert small[0].pool == ("chebyshev",)
    assert sum(p.numel() for p in small.parameters()) == network[0].weights[1].numel() + 1
    torch.testing.assert_close(small(x), network(x))


def test_of_one_tap_it_is_a_mixer_of_channels_in_place_of_an_mlp():
    kan = partial(SelectableKAN, kernel_size=1)
    network = MetaFormer(3, 4, [1], [8], channel_mixers=kan)
    assert isinstance(network.layer1[0].mlp, SelectableKAN)
    assert network(torch.randn(2, 4, 16, 16)).shape == (2, 3)
    block, x = made(kernel_size=1), draw()
    order = torch.randperm(30)
    shuffled = block(x.flatten(2)[:, :, order].view_as(x)).flatten(2)
    torch.testing.assert_close(shuffled, block(x).flatten(2)[:, :, order])


def test_a_function_of_one_input_is_recovered_by_training():
    """sin(3x) of abs(x) < 1.4, from 200 samples, by a few steps of L-BFGS on weights and gates."""
    torch.manual_seed(0)
    block, x = SelectableKAN(1, 1, kernel_size=1, count=8).double(), torch.linspace(-1.4, 1.4, 200).double()
    x, target = x.view(1, 1, -1), (3 * x).sin().view(1, 1, -1)
    optimizer = torch.optim.LBFGS(block.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = (block(x) - target).square().mean()
        error.backward()
        return error

    optimizer.step(loss)
    assert (block(x) - target).abs().max() < 0.04


def test_what_makes_no_pool_is_refused():
    known = "pool must be some of spline, chebyshev, wavelet, radial, each once"
    for pool in (["fourier"], [], ["spline", "spline"]):
        with pytest.raises(ValueError, match=known):
            SelectableKAN(4, pool=pool)
    with pytest.raises(ValueError, match="count must be at least 4 and kernel_size odd, got 3 and 3"):
        SelectableKAN(4, count=3)
    with pytest.raises(ValueError, match="got 6 and 2"):
        SelectableKAN(4, kernel_size=2)
    with pytest.raises(ValueError, match="there is no radial in spline, wavelet"):
        SelectableKAN(4, pool=["spline", "wavelet"]).keep("radial")
