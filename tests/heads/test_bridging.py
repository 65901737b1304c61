"""Attention to points: a sum of two functions is the table, keys have no order, a fresh one changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from blockyard.heads import bridging
from blockyard.heads.bridging import TEMPERATURE, BridgingAttention, Keys, LocationEmbedding


def awake(kinds: int = 1) -> BridgingAttention:
    made = BridgingAttention(8, kinds, heads=2).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


def keys(count: int, channels: int = 8) -> Keys:
    features = torch.randn(2, count, channels, dtype=torch.float64)
    return Keys(features, 9 * torch.rand(2, count, 2, dtype=torch.float64))


def test_the_sum_over_axes_is_the_table_at_its_nodes():
    """The released code interpolates a table of all pairs of distances: that is this, in its nodes and between."""
    made, reach = LocationEmbedding(3, width=8).double(), 6
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    distance = torch.arange(-reach, reach + 1, dtype=torch.float64)
    y, x = torch.meshgrid(distance, distance, indexing="ij")
    waves = TEMPERATURE ** -(torch.arange(4) * 4 / 16.0).double()  # 16 sines and cosines of a place
    sines = [torch.cat([(d[..., None] * waves).sin(), (d[..., None] * waves).cos()], -1) for d in (x, y)]
    table = torch.cat(sines, -1) @ made.weight.movedim(0, 1).flatten(1).T + made.bias  # (13, 13, heads)
    rows, columns = torch.arange(3.0).double(), torch.arange(4.0).double()
    places = torch.tensor([[[2.0, -1.0], [5.0, 4.0]]], dtype=torch.float64)
    found = made(rows, columns, places)  # (1, heads, 12, 2)
    ends = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).reshape(12, 1, 2)
    grid = (places - ends) / reach
    read = F.grid_sample(table.movedim(2, 0)[None], grid[None], align_corners=True)
    torch.testing.assert_close(found, read)


def test_it_is_the_definition():
    made, x, asked = awake(2), torch.randn(2, 8, 3, 4, dtype=torch.float64), [keys(5), keys(7)]
    expected = x.flatten(2).transpose(1, 2)
    for kind, (features, places) in enumerate(asked):
        q = made.queries[kind](x.flatten(2).transpose(1, 2)).view(2, 12, 2, 4)
        k, v = (part.reshape(2, -1, 2, 4) for part in made.keys[kind](features).split(8, 2))
        g = made.location(2 * torch.arange(3).double(), 2 * torch.arange(4).double(), places)
        weights = torch.einsum("bqhd,bkhd->bhqk", q, k).div(2).exp() * g.clamp(min=1e-6)
        weights = weights / weights.sum(3, keepdim=True)
        expected = expected + made.out[kind](torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))
    torch.testing.assert_close(made(x, 2, asked), expected.transpose(1, 2).reshape(x.shape).relu())


def test_keys_have_no_order():
    made, x, asked = awake(), torch.randn(2, 8, 3, 3, dtype=torch.float64), keys(6)
    order = torch.randperm(6)
    turned = Keys(asked.features[:, order], asked.places[:, order])
    torch.testing.assert_close(made(x, 1, [turned]), made(x, 1, [asked]))


def test_only_where_a_key_lies_beside_a_query_counts():
    """On a grid moved by a cell, keys moved with it give the same."""
    made, x, asked = awake(), torch.randn(2, 8, 3, 3, dtype=torch.float64), keys(4)
    wide = torch.zeros(2, 8, 4, 5, dtype=torch.float64)
    wide[..., 1:, 2:] = x
    moved = Keys(asked.features, asked.places + torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(made(wide, 1, [moved])[..., 1:, 2:], made(x, 1, [asked]))


def test_a_fresh_one_changes_nothing_behind_a_relu():
    x = torch.randn(2, 8, 3, 3).relu()
    assert torch.equal(BridgingAttention(8, 1, heads=2)(x, 1, [Keys(torch.randn(2, 4, 8), torch.rand(2, 4, 2))]), x)


def test_mistakes_are_one_line(one_line: Callable[..., None]):
    with pytest.raises(ValueError, match="heads") as error:
        BridgingAttention(8, 1, heads=3)
    one_line(error, "heads=3 must divide 8 channels")


@pytest.mark.parametrize("queries", [1, 12, 30])
def test_how_many_ask_at_once_changes_nothing_but_memory(queries: int, monkeypatch: pytest.MonkeyPatch):
    """Nothing as large as G of all positions is kept for the gradients; 6 rows of 5 cells, one, two and all at once."""
    made, x, asked = awake(2), torch.randn(2, 8, 6, 5, dtype=torch.float64), [keys(50), keys(7)]
    kept: set[tuple[int, ...]] = set()

    def found() -> list[torch.Tensor]:
        with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.add(saved.shape[-2:]) or saved, lambda s: s):
            y = made(x, 2, asked)
        return [y, *torch.autograd.grad(y.square().sum(), list(made.parameters()))]

    expected = found()
    monkeypatch.setattr(bridging, "QUERIES", queries)
    torch.testing.assert_close(found(), expected)
    with torch.no_grad():
        torch.testing.assert_close(made(x, 2, asked), expected[0])
    assert kept
    assert (30, 50) not in kept
