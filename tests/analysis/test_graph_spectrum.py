"""Frequencies and gains: what the theory says of the blocks."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from blockyard.analysis.graph_looking import look
from blockyard.analysis.graph_spectrum import eigenvalues, refusal, response
from blockyard.blocks import CrissCross, DoubleAttention, Nonlocal, NonlocalStage, ReleasedNonlocal, SpectralNonlocal
from blockyard.blocks.nonlocals.filters import PolynomialFilter

FREQUENCY = np.linspace(0, 2, 21)
FILTERS = {
    "NL": Nonlocal,
    "NS": partial(NonlocalStage, steps=2),
    "SNL": SpectralNonlocal,
    "gSNL": partial(SpectralNonlocal, order=3),
    "gSNL, powers": partial(SpectralNonlocal, order=3, basis="power"),
    "A2": DoubleAttention,
}
every_filter = pytest.mark.parametrize("make", FILTERS.values(), ids=FILTERS.keys())


def awake(block: nn.Module) -> nn.Module:
    """Random weights and statistics."""
    generator = torch.Generator().manual_seed(3)
    for name, value in block.double().eval().state_dict().items():
        if value.is_floating_point():
            random = torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.5
            value.copy_(random.abs() + 0.5 if name.endswith("running_var") else random)
    return block


def graph_of(block: nn.Module, *size: int):
    x = torch.randn(1, 8, *(size or (5, 4)), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (graph,) = look(nn.Sequential(block.double()), x)
    return graph


@pytest.mark.parametrize("kernel", ["dot", "exp", "relu", "sigmoid"])
def test_the_symmetric_affinity_has_real_frequencies_between_0_and_2(kernel):
    found = eigenvalues(graph_of(awake(SpectralNonlocal(8, kernel=kernel))).matrices[0])
    assert not found.imag.any()
    assert found.real.min() >= -1 - 1e-12
    assert found[0].real == pytest.approx(1, abs=1e-12)


def test_a_row_softmax_is_a_directed_graph():
    graph = graph_of(awake(Nonlocal(8)))
    found = eigenvalues(graph.matrices[0])
    np.testing.assert_allclose(graph.matrices[0].sum(1), 1, rtol=1e-12)
    assert found[0] == pytest.approx(1)
    assert np.abs(found).max() <= 1 + 1e-12
    assert np.abs(found.imag).max() > 1e-3
    assert (np.diff(found.real) <= 0).all()


@every_filter
def test_a_fresh_block_passes_everything_and_adds_nothing(make):
    found = response(make(8), FREQUENCY)
    np.testing.assert_array_equal(found.gain, np.ones((21, 8)))
    np.testing.assert_array_equal(found.added, np.zeros((21, 8)))


@every_filter
def test_an_eigenvector_is_multiplied_by_what_the_response_says(make):
    """A signal u vᵀ, A u = λ u, becomes u (H(λ) v)ᵀ, apart from what the biases add to every position alike."""
    block = awake(make(8))
    graph = graph_of(block)
    if not np.allclose(graph.matrices[0], graph.matrices[0].T):
        # A real eigenvalue of a directed graph: that of the constant signal.
        eigenvalue, vector = 1.0, np.ones(20)
    else:
        values, vectors = np.linalg.eigh(graph.matrices[0])
        eigenvalue, vector = values[3], vectors[:, 3]
    x = torch.randn(1, 8, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    operator, u = block.operator(x), torch.from_numpy(vector).reshape(1, 1, 5, 4)

    def through(signal: torch.Tensor) -> torch.Tensor:
        for one in block.filters:
            signal = signal + one(operator, signal)
        return signal

    zero = torch.zeros(1, 8, 5, 4, dtype=torch.float64)
    columns = []
    for channel in range(8):
        v = nn.functional.one_hot(torch.tensor(channel), 8).double().reshape(1, 8, 1, 1)
        change = (through(u * v) - through(zero))[0].flatten(1) @ torch.from_numpy(vector) / (vector @ vector)
        columns.append(change)
    transfer = torch.stack(columns, 1).detach().numpy()
    found = response(block, np.array([1 - eigenvalue]))
    np.testing.assert_allclose(found.gain[0], np.linalg.norm(transfer, axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.added[0], np.linalg.norm(transfer - np.eye(8), axis=1), rtol=1e-9, atol=1e-12)


def test_a_low_pass_made_by_hand_falls():
    """Z (A + I) / 2 with identity weights: the gain of what is added is 1 − frequency / 2, for every channel."""
    block = SpectralNonlocal(4, reduction=1).double().eval()
    unit = block.filters[0]
    assert isinstance(unit, PolynomialFilter)
    with torch.no_grad():
        unit.norm.weight.fill_((1 + unit.norm.eps) ** 0.5)
        unit.value.conv.weight.copy_(torch.eye(4).unsqueeze(2))
        unit.out.weight.copy_(torch.cat([torch.eye(4), torch.eye(4)], 1).unsqueeze(2) / 2)
    found = response(block, FREQUENCY)
    np.testing.assert_allclose(found.added, np.repeat(1 - FREQUENCY[:, None] / 2, 4, 1), atol=1e-12)
    np.testing.assert_allclose(found.gain, 1 + found.added, atol=1e-12)


def test_a_chebyshev_polynomial_of_the_graph():
    """Θ_2 alone: T_2(λ) = 2 λ² − 1."""
    block = SpectralNonlocal(4, reduction=1, order=2).double().eval()
    unit = block.filters[0]
    with torch.no_grad():
        unit.norm.weight.fill_((1 + unit.norm.eps) ** 0.5)
        unit.value.conv.weight.copy_(torch.eye(4).unsqueeze(2))
        unit.out.weight.copy_(torch.cat([torch.zeros(4, 8), torch.eye(4)], 1).unsqueeze(2))
    expected = np.abs(2 * (1 - FREQUENCY) ** 2 - 1)
    np.testing.assert_allclose(response(block, FREQUENCY).added, np.repeat(expected[:, None], 4, 1), atol=1e-12)


def test_says_why_there_is_no_response():
    for block, reason in (
        (CrissCross(8), "no polynomial"),
        (ReleasedNonlocal(8), "no polynomial"),
        (DoubleAttention(8, heads=2), "several heads"),
        (Nonlocal(8, pool="after"), "pools its keys"),
        (SpectralNonlocal(8), None),
    ):
        found = refusal(block, graph_of(block, 4, 4))
        assert found is None if reason is None else reason in found
    assert "too many" in refusal(SpectralNonlocal(8), graph_of(SpectralNonlocal(8), 64, 33))
