"""Adaptive hops: a filter of order K whose coefficients are each vertex's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockyard.blocks import (
    AdaptiveHops,
    CompactNonlocal,
    DoubleAttention,
    GraphBlock,
    HopSum,
    SpectralNonlocal,
    list_blocks,
)
from blockyard.blocks.nonlocals.operators import Dense, Grouped

GRAPHS = [kind for kind in list_blocks() if issubclass(kind, GraphBlock) and kind.__module__.startswith("blockyard.")]
GROUPED = {CompactNonlocal, DoubleAttention}
"""Those with a matrix for each group of channels."""
KERNELS = ("dot", "exp", "relu", "sigmoid", "gaussian", "embedded_gaussian")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def hop_sum(inner: int, order: int) -> HopSum:
    hops = HopSum(inner, order).double()
    hops.score.weight.data = draw(1, inner, 1, seed=9)
    return hops


def awake(**options) -> AdaptiveHops:
    torch.manual_seed(0)
    block = AdaptiveHops(4, **options).double().eval()
    torch.nn.init.ones_(block.filters[0].norm.weight)
    return block


@settings(max_examples=20, deadline=None)
@given(order=st.integers(0, 6), seed=st.integers(0, 99))
def test_the_sum_is_that_of_powers_of_the_matrix_each_weighed_by_its_own_vertex(order, seed):
    """Σ_k diag(σ(A^k Z s)) A^k Z on five nodes; of order 0 a gate of Z alone."""
    matrix, z, hops = draw(1, 5, 5, seed=seed) / 5, draw(1, 3, 5, seed=seed + 1), hop_sum(3, order)
    score, expected = hops.score.weight.data[0, :, 0], torch.zeros(5, 3, dtype=torch.float64)
    for k in range(order + 1):
        hop = torch.linalg.matrix_power(matrix[0], k) @ z[0].T
        expected += (hop @ score).sigmoid()[:, None] * hop
    torch.testing.assert_close(hops(Dense(matrix), z)[0].T, expected)
    if order == 0:
        torch.testing.assert_close(hops(Dense(matrix), z), z * hops.retained(z))


def test_on_a_complete_uniform_graph_all_hops_but_the_first_are_the_mean():
    z, hops = draw(2, 3, 7), hop_sum(3, 5)
    mean = z.mean(2, keepdim=True)
    uniform = torch.full((2, 7, 7), 1 / 7, dtype=torch.float64)
    torch.testing.assert_close(hops(Dense(uniform), z), hops.retained(z) * z + 5 * hops.retained(mean) * mean)


def test_without_edges_but_loops_all_hops_are_the_signal():
    z, hops = draw(2, 3, 7), hop_sum(3, 5)
    torch.testing.assert_close(hops(Dense(torch.eye(7).double().expand(2, -1, -1)), z), 6 * hops.retained(z) * z)


@pytest.mark.parametrize("order", [1, 3])
def test_equal_scores_give_the_spectral_block_with_equal_coefficients(order):
    """σ(0) = 1/2: of the power basis, every Θ_k is W / 2."""
    adaptive, plain = awake(order=order), SpectralNonlocal(4, order=order, basis="power").double().eval()
    torch.nn.init.zeros_(adaptive.filters[0].hops.score.weight)
    state = {name: value for name, value in adaptive.state_dict().items() if ".hops." not in name}
    state["filters.0.out.weight"] = torch.cat([state["filters.0.out.weight"] / 2] * (order + 1), 1)
    plain.load_state_dict(state)
    x = draw(2, 4, 3, 5)
    torch.testing.assert_close(adaptive(x), plain(x))
    assert not torch.allclose(adaptive(x), x)


@pytest.mark.parametrize("kind", GRAPHS, ids=lambda kind: kind.__name__)
def test_hops_over_the_graph_of_any_block_are_those_over_its_matrix(kind):
    torch.manual_seed(0)
    operator, z, hops = kind(32).double().operator(draw(2, 32, 3, 4)), draw(2, 8, 12, seed=1), hop_sum(8, 3)
    if kind in GROUPED:
        assert isinstance(operator, Grouped)
    else:
        torch.testing.assert_close(hops(operator, z), hops(Dense(operator.dense()), z))


@pytest.mark.parametrize("kernel", KERNELS)
def test_dense_and_associative_agree_and_no_power_grows(kernel):
    """Eigenvalues are 1 at most in size, so no entry of the hundredth power is larger."""
    dense, free = (awake(kernel=kernel, order=6, evaluation=way) for way in ("dense", "associative"))
    x = draw(2, 4, 3, 5)
    torch.testing.assert_close(dense(x), free(x))
    matrix = dense.operator(x).dense()
    assert torch.linalg.eigvals(matrix).abs().max() <= 1 + 1e-9
    assert torch.linalg.matrix_power(matrix, 100).abs().max() <= 1 + 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "order must be at least 1, got 0"),
        ({"kernel": "dot_product"}, "kernel must be one of dot, exp, relu, sigmoid, gaussian, embedded_gaussian, got"),
    ],
)
def test_wrong_options_are_answered_in_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        AdaptiveHops(4, **options)
    with pytest.raises(ValueError, match="order must not be negative, got -1"):
        HopSum(4, -1)
