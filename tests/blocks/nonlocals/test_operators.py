"""Every operator equals its matrix, in values and gradients, whatever the shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from blockyard.blocks.nonlocals.criss_cross import line_softmax
from blockyard.blocks.nonlocals.kernel_operators import (
    ReluOfSum,
    Softmax,
    SymmetricProduct,
    SymmetricTiles,
    spectral_normalisation,
)
from blockyard.blocks.nonlocals.operators import Dense, Grouped, LowRank, Operator, Scaled, Sum


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def low_rank(q: Tensor, k: Tensor) -> Operator:
    return LowRank(q, k)


def grouped(q: Tensor, k: Tensor) -> Operator:
    return Grouped(LowRank(torch.cat([q, q + 1]), torch.cat([k, k - 1])), 2)


def relu_of_sum(q: Tensor, k: Tensor) -> Operator:
    return ReluOfSum(q[:, 0], k[:, 0])


def softmax(q: Tensor, k: Tensor) -> Operator:
    return Softmax(q, k, 0.7)


def summed(q: Tensor, k: Tensor) -> Operator:
    return Sum(Softmax(q, k, 1.0), LowRank(q, k))


def product(q: Tensor, k: Tensor) -> Operator:
    return SymmetricProduct(q.relu(), k.relu())


def normalised_product(q: Tensor, k: Tensor) -> Operator:
    return spectral_normalisation(SymmetricProduct(q.relu(), k.relu()))


def relu_tiles(q: Tensor, k: Tensor) -> Operator:
    return spectral_normalisation(SymmetricTiles(q, k, torch.relu, tile=3))


def sigmoid_tiles(q: Tensor, k: Tensor) -> Operator:
    return spectral_normalisation(SymmetricTiles(q, k, torch.sigmoid, tile=4))


def exp_tiles(q: Tensor, k: Tensor) -> Operator:
    return SymmetricTiles(q, k, torch.exp, tile=5).log_normalised()


RECTANGULAR = [low_rank, grouped, relu_of_sum, softmax, summed]
SQUARE = [*RECTANGULAR, product, normalised_product, relu_tiles, sigmoid_tiles, exp_tiles]
NORMALISED = [normalised_product, relu_tiles, sigmoid_tiles, exp_tiles]


def result_and_gradients(make, evaluate, *inputs: Tensor) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in inputs]
    y = evaluate(make(*leaves[:2]), leaves[2])
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    gradients = torch.autograd.grad((y * weights).sum(), leaves, allow_unused=True)
    return [y.detach(), *(torch.zeros(1) if g is None else g for g in gradients)]


def multiply_by_matrix(operator: Operator, z: Tensor) -> Tensor:
    if isinstance(operator, Grouped):
        return Grouped(Dense(operator.dense()), operator.groups).apply(z)
    return torch.einsum("bnm,bcm->bcn", operator.dense(), z)


def assert_apply_is_the_matrix(make, *inputs: Tensor) -> None:
    fast = result_and_gradients(make, lambda operator, z: operator.apply(z), *inputs)
    dense = result_and_gradients(make, multiply_by_matrix, *inputs)
    for a, b in zip(fast, dense, strict=True):
        # float64: only the order of summation differs.
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("make", SQUARE)
@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 3), n=st.integers(1, 17), c=st.integers(1, 6), seed=st.integers(0, 99))
def test_apply_equals_the_matrix_in_values_and_gradients(make, batch, n, c, seed):
    """N = 1, N < 2c and N > 2c included."""
    assert_apply_is_the_matrix(make, draw(batch, c, n, seed=seed), draw(batch, c, n, seed=seed + 1), draw(batch, 4, n))


@pytest.mark.parametrize("make", RECTANGULAR)
def test_fewer_keys_than_queries(make):
    assert_apply_is_the_matrix(make, draw(2, 3, 12), draw(2, 3, 5, seed=1), draw(2, 4, 5, seed=2))


@pytest.mark.parametrize("make", SQUARE)
def test_signals_need_not_be_contiguous(make):
    q, k, z = (draw(2, 9, 4, seed=s).transpose(1, 2) for s in range(3))
    assert_apply_is_the_matrix(make, q, k, z)


@pytest.mark.parametrize("make", [normalised_product, relu_tiles])
@pytest.mark.parametrize("isolated", [[0, 3], list(range(7))])
def test_an_isolated_vertex_neither_sends_nor_receives_nor_spoils_a_gradient(make, isolated):
    q, k, z = draw(2, 3, 7), draw(2, 3, 7, seed=1).abs() + 0.1, draw(2, 4, 7, seed=2)
    q[:, :, isolated], k[:, :, isolated] = 0, 0
    y, *gradients = result_and_gradients(make, lambda operator, signal: operator.apply(signal), q, k, z)
    assert torch.equal(y[:, :, isolated], torch.zeros_like(y[:, :, isolated]))
    assert all(g.isfinite().all() for g in gradients)
    assert_apply_is_the_matrix(make, q, k, z)


@pytest.mark.parametrize("make", NORMALISED)
@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 24), c=st.integers(1, 5), seed=st.integers(0, 999))
def test_spectral_normalisation_gives_a_symmetric_matrix_with_spectrum_in_minus_one_to_one(make, n, c, seed):
    matrix = make(draw(1, c, n, seed=seed), draw(1, c, n, seed=seed + 1)).dense()[0]
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert eigenvalues.abs().max() <= 1 + 1e-9
    if (matrix > 0).any():
        assert eigenvalues.max() == pytest.approx(1, abs=1e-9)


def test_the_leading_eigenvector_is_the_root_of_the_degrees():
    affinity = SymmetricProduct(draw(1, 4, 9).abs(), draw(1, 4, 9, seed=1).abs())
    root = affinity.degrees().sqrt()
    torch.testing.assert_close(spectral_normalisation(affinity).apply(root), root)


def test_degrees_are_the_row_sums():
    for affinity in (
        SymmetricProduct(draw(2, 4, 9).relu(), draw(2, 4, 9, seed=1).relu()),
        SymmetricTiles(draw(2, 4, 9), draw(2, 4, 9, seed=1), torch.sigmoid, tile=2),
    ):
        torch.testing.assert_close(affinity.degrees()[:, 0], affinity.dense().sum(2))
        torch.testing.assert_close(affinity.degrees(), Dense(affinity.dense()).degrees())


def test_equal_embeddings_give_a_positive_semidefinite_affinity():
    t = draw(1, 4, 12).relu()
    assert torch.linalg.eigvalsh(spectral_normalisation(SymmetricProduct(t, t)).dense()[0]).min() > -1e-12


@settings(max_examples=20, deadline=None)
@given(a=st.floats(1e-3, 1e3), b=st.floats(1e-3, 1e3))
def test_the_normalised_product_ignores_the_scale_and_the_order_of_its_factors(a, b):
    t, p = draw(2, 4, 9).relu(), draw(2, 4, 9, seed=1).relu()
    reference = spectral_normalisation(SymmetricProduct(t, p)).dense()
    torch.testing.assert_close(spectral_normalisation(SymmetricProduct(a * t, b * p)).dense(), reference)
    torch.testing.assert_close(spectral_normalisation(SymmetricProduct(p, t)).dense(), reference)


def test_the_spectrum_follows_from_a_matrix_of_twice_the_rank():
    """The nonzero eigenvalues of A = D^-1/2 S D^-1/2, N×N, are those of ½ [P, T]ᵀ D⁻¹ [T, P], 2c×2c."""
    t, p = draw(3, 20).abs(), draw(3, 20, seed=1).abs()
    affinity = SymmetricProduct(t[None], p[None])
    small = 0.5 * (torch.cat([p, t]) / affinity.degrees()[0]) @ torch.cat([t, p]).T
    small_spectrum = torch.linalg.eigvals(small).real.sort().values
    spectrum = torch.linalg.eigvalsh(spectral_normalisation(affinity).dense()[0])
    nonzero = spectrum[spectrum.abs() > 1e-9]
    torch.testing.assert_close(small_spectrum[small_spectrum.abs() > 1e-9], nonzero)


def test_exponents_that_overflow_do_not():
    """Scores of ±2000: exp overflows even float64, the normalised operator stays exact."""
    t, p = 30 * draw(1, 4, 8), 30 * draw(1, 4, 8, seed=1)
    scores = torch.einsum("bcn,bcm->bnm", t, p)
    log_affinity = torch.logaddexp(scores, scores.transpose(1, 2))
    log_degrees = log_affinity.logsumexp(2)
    expected = (log_affinity - 0.5 * log_degrees.unsqueeze(2) - 0.5 * log_degrees.unsqueeze(1)).exp()
    assert scores.abs().max() > 1000
    torch.testing.assert_close(SymmetricTiles(t, p, torch.exp).log_normalised().dense(), expected)


def test_row_stochastic_operators_keep_a_constant_signal():
    one = torch.ones(2, 1, 12, dtype=torch.float64)
    q, k = draw(2, 4, 12), draw(2, 4, 12, seed=1)
    for operator in (Softmax(q, k, 1.0), LowRank(q.softmax(1), k.softmax(2))):
        torch.testing.assert_close(operator.apply(one), one)


@pytest.mark.parametrize("size", [(5,), (3, 4), (1, 4), (2, 3, 4)])
def test_criss_cross_weights_are_a_softmax_over_the_lines_through_a_position(size):
    query, key = draw(2, 3, *size), draw(2, 3, *size, seed=1)
    operator = line_softmax(query, key)
    grid = torch.cartesian_prod(*(torch.arange(s) for s in size)).reshape(-1, len(size))
    on_a_line = (grid[:, None] != grid[None]).sum(-1) <= 1
    scores = torch.einsum("bcn,bcm->bnm", query.flatten(2), key.flatten(2)).masked_fill(~on_a_line, -torch.inf)
    torch.testing.assert_close(operator.dense(), scores.softmax(2))
    assert (operator.dense() > 0).sum(2).eq(sum(size) - len(size) + 1).all()


def test_scaled_operator_scales_rows_and_columns():
    scale, matrix, z = draw(2, 1, 6), draw(2, 6, 6, seed=1), draw(2, 3, 6, seed=2)
    operator = Scaled(Dense(matrix), scale)
    torch.testing.assert_close(operator.dense(), torch.diag_embed(scale[:, 0]) @ matrix @ torch.diag_embed(scale[:, 0]))
    torch.testing.assert_close(operator.apply(z), multiply_by_matrix(operator, z))


@pytest.mark.parametrize("make", [normalised_product, exp_tiles, relu_of_sum, low_rank, softmax])
def test_gradients_are_exact(make):
    inputs = [draw(1, 2, 5, seed=s).requires_grad_() for s in range(3)]
    assert torch.autograd.gradcheck(lambda q, k, z: make(q, k).apply(z), inputs)


def test_half_precision_degrees_do_not_overflow():
    """Mean degree at N = 8192, c = 256: 3e5, above the 65,504 of float16; the result must still be right."""
    t, p = (torch.randn(1, 256, 8192, generator=torch.Generator().manual_seed(s)).relu() for s in (0, 1))
    z = torch.ones(1, 1, 8192)
    exact = spectral_normalisation(SymmetricProduct(t, p)).apply(z)
    assert SymmetricProduct(t, p).degrees().max() > torch.finfo(torch.float16).max
    half = spectral_normalisation(SymmetricProduct(t.half(), p.half()))
    assert half.apply(z.half()).isfinite().all()
    # 2^-11 is float16's rounding; two products and two scalings.
    torch.testing.assert_close(half.apply(z.half()).float(), exact, rtol=4 * 2**-10, atol=0)
