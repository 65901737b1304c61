"""Blocks and grids are taken apart and joined again; what is mixed is what the paper says, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from blockyard.blocks import MultiAxisMLP
from blockyard.blocks.mixers.multi_axis import CellMix, GatedMLP, cut, join, mirrored, partition

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


def made(rank: int, **options) -> MultiAxisMLP:
    torch.manual_seed(0)
    block = MultiAxisMLP(3, rank, **{"block_size": 2, "grid_size": 2} | options).double()
    for mix in (block.grid.mix, block.block.mix):
        nn.init.normal_(mix.weight)
        nn.init.normal_(mix.bias)
    return block


@given(counts=st.lists(st.integers(1, 3), min_size=1, max_size=3), side=st.integers(1, 4), grid=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_map_that_is_taken_apart_is_joined_again(counts, side, grid):
    x = drawn(2, 3, *(side * count for count in counts))
    cells = partition(x, side, grid)
    assert cells.shape == (2, 3, *counts, *(side,) * len(counts))
    assert torch.equal(join(cells, grid), x)


def test_a_block_is_of_neighbours_and_a_grid_of_positions_a_cell_apart():
    x = torch.arange(6 * 9.0).view(1, 1, 6, 9)
    assert torch.equal(partition(x, 3, grid=False)[0, 0, 1, 2], x[0, 0, 3:6, 6:9])
    assert torch.equal(partition(x, 3, grid=True)[0, 0, 1, 2], x[0, 0, 1::2, 2::3])


@given(there=st.integers(1, 9), multiple=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_what_is_missing_is_mirrored_at_the_end(there, multiple):
    x = drawn(1, 2, there)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, -there % multiple)), mode="symmetric")
    found = mirrored(x, [multiple])
    assert np.array_equal(found.numpy(), expected)
    assert torch.equal(cut(found, [there]), x)


@RANKS
def test_maps_of_other_sizes_are_mixed_mirrored_and_cut(rank: int):
    block, size = made(rank), (5, 3, 1)[:rank]
    x = drawn(2, 3, *size)
    torch.testing.assert_close(block(x), cut(block(mirrored(x, [2] * rank)), size))


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def numbers(layer: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def normed(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    weight, bias = numbers(layer)
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


def linear(layer: nn.Module, x: np.ndarray) -> np.ndarray:
    weight, bias = numbers(layer)
    return x @ weight.T + bias


def gated(mlp: GatedMLP, x: np.ndarray, places: list) -> np.ndarray:
    """Of a map ``(H, W, C)``, group by group of positions that are mixed."""
    value, gate = np.split(gelu(linear(mlp.expand, normed(mlp.norm, x))), 2, -1)
    gate = normed(mlp.gate_norm, gate)
    mixed = np.empty_like(gate)
    for place in places:
        group = gate[place]
        mixed[place] = linear(mlp.mix, group.reshape(4, -1).T).T.reshape(group.shape)
    return x + linear(mlp.project, value * (mixed + 1))


def test_it_is_the_formula_of_the_paper():
    """Section 3.2 and figure 3, by NumPy, channels last, one block and one set of grid positions after the other."""
    block, x = made(2), drawn(1, 3, 6, 4)
    picture = x[0].numpy().transpose(1, 2, 0)
    far, near = np.split(gelu(linear(block.expand, picture)), 2, -1)
    grid = [np.s_[i::3, j::2] for i in range(3) for j in range(2)]
    blocks = [np.s_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for i in range(3) for j in range(2)]
    both = np.concatenate([gated(block.grid, far, grid), gated(block.block, near, blocks)], -1)
    expected = linear(block.project, both).transpose(2, 0, 1)
    assert np.allclose(block(x).detach().numpy()[0], expected, rtol=0, atol=1e-12)


@RANKS
def test_gates_of_zero_leave_every_position_to_itself(rank: int):
    block, x = made(rank), drawn(1, 3, *(4,) * rank)
    for mix in (block.grid.mix, block.block.mix):
        nn.init.zeros_(mix.weight)
    order = torch.randperm(4**rank, generator=torch.Generator().manual_seed(0))

    def shuffled(m: Tensor) -> Tensor:
        return m.flatten(2)[:, :, order].reshape(m.shape)

    for mix in (block.grid.mix, block.block.mix):
        nn.init.zeros_(mix.bias)
    torch.testing.assert_close(block(shuffled(x)), shuffled(block(x)))
    for gated_mlp in (block.grid, block.block):
        nn.init.zeros_(gated_mlp.project.weight)
        nn.init.zeros_(gated_mlp.project.bias)
        hidden = drawn(1, 3, *(4,) * rank)
        assert torch.equal(gated_mlp(hidden), hidden)


@RANKS
def test_a_shift_by_a_block_shifts_what_blocks_give_and_not_what_a_grid_gives(rank: int):
    x, block = drawn(1, 3, *(6,) * rank), made(rank)
    for axis in range(2, 2 + rank):
        for part, same in ((block.block, True), (block.grid, False)):
            found, expected = part(x.roll(2, axis)), part(x).roll(2, axis)
            assert torch.allclose(found, expected) == same


@RANKS
def test_a_grid_commutes_with_an_order_that_all_its_cells_have(rank: int):
    x, block = drawn(1, 3, *(6,) * rank), made(rank)
    order = torch.tensor([2, 0, 1])
    turned = torch.cat([order, 3 + order])
    for axis in range(2, 2 + rank):
        for part, same in ((block.grid, True), (block.block, False)):
            found, expected = part(x.index_select(axis, turned)), part(x).index_select(axis, turned)
            assert torch.allclose(found, expected) == same


@RANKS
def test_a_linear_map_of_one_position_is_a_factor_and_a_shift(rank: int):
    mix = CellMix(1, rank, grid=False, bias=0.5).double()
    x = drawn(2, 3, *(3,) * rank)
    torch.testing.assert_close(mix(x), x * mix.weight.item() + 0.5)


def test_what_makes_no_block_is_refused():
    with pytest.raises(ValueError, match="MultiAxisMLP: expansion must be an even number, got 3"):
        MultiAxisMLP(4, expansion=3)
    with pytest.raises(ValueError, match="the side of a block or of a grid must be positive, got 0"):
        MultiAxisMLP(4, grid_size=0)
