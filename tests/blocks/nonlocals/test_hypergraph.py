"""Adaptive hypergraphs: a graph filter of few edges, and means where nothing tells positions apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.blocks import AdaptiveHypergraph


def block(rank: int = 2, **options: int) -> AdaptiveHypergraph:
    made = AdaptiveHypergraph(8, rank, **options).double()
    nn.init.uniform_(made.norm.weight, 0.5, 1.5)
    return made.eval()


def increment_of(context: Tensor, made: AdaptiveHypergraph) -> Tensor:
    """What positions get that all see one vector ``(B, C)``."""
    inner = F.silu(made.vertex(F.silu(made.edge(context[:, :, None]))))
    return made.norm(inner)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_it_is_the_definition(rank: int):
    made, x = block(rank, edges=5, heads=2), torch.randn(2, 8, *[4] * rank, dtype=torch.float64)
    rows = x.flatten(2).transpose(1, 2)  # (B, N, C)
    context = torch.cat([rows.mean(1), rows.amax(1)], 1)
    prototypes = made.prototypes + made.context(context).view(2, 5, 8)
    z = made.vertices(x).transpose(1, 2)
    by_head = [
        a @ b.transpose(1, 2) / 4**0.5 for a, b in zip(z.split(4, 2), prototypes.split(4, 2), strict=True)
    ]  # similarities of each head by itself, then their mean
    part = torch.stack(by_head).mean(0).softmax(2)
    torch.testing.assert_close(made.participation(x).transpose(1, 2), part)
    means = part.transpose(1, 2) @ rows / part.sum(1)[:, :, None]
    edges = F.silu(made.edge(means.transpose(1, 2)))
    expected = x + made.norm(F.silu(made.vertex(edges @ part.transpose(1, 2)))).view(x.shape)
    torch.testing.assert_close(made(x), expected)


def test_its_linear_part_is_a_symmetric_row_stochastic_filter_of_few_edges():
    made, x = block(edges=3), torch.randn(2, 8, 5, 4, dtype=torch.float64)
    matrix = made.operator(x).dense()
    torch.testing.assert_close(matrix, matrix.transpose(1, 2))
    torch.testing.assert_close(matrix.sum(2), torch.ones(2, 20, dtype=torch.float64))
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert eigenvalues.min() > -1e-12
    assert (eigenvalues > 1e-9).sum(1).tolist() == [3, 3]


def test_one_edge_gives_every_position_the_mean():
    made, x = block(edges=1), torch.randn(2, 8, 6, 5, dtype=torch.float64)
    torch.testing.assert_close((made(x) - x).flatten(2), increment_of(x.mean((2, 3)), made).expand(-1, -1, 30))


def test_where_positions_do_not_differ_neither_do_edges():
    made = block(edges=4)
    x = torch.randn(2, 8, 1, 1, dtype=torch.float64).expand(-1, -1, 3, 7)
    torch.testing.assert_close((made(x) - x).flatten(2), increment_of(x[..., 0, 0], made).expand(-1, -1, 21))


def test_positions_have_no_order():
    made, x = block(1), torch.randn(2, 8, 9, dtype=torch.float64)
    order = torch.randperm(9)
    torch.testing.assert_close(made(x[..., order]), made(x)[..., order])


def test_mistakes_are_one_line(one_line: Callable[..., None]):
    with pytest.raises(ValueError, match="edges") as error:
        AdaptiveHypergraph(8, edges=0)
    one_line(error, "edges must be at least 1, got 0")
    with pytest.raises(ValueError, match="heads") as error:
        AdaptiveHypergraph(8, heads=3)
    one_line(error, "AdaptiveHypergraph: 8 channels are not divisible by heads=3")
