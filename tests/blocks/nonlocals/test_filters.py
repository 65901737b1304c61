"""Polynomials of an operator, and the family as special cases of one filter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockyard.blocks import Nonlocal, NonlocalStage, SpectralNonlocal
from blockyard.blocks.nonlocals.filters import polynomials
from blockyard.blocks.nonlocals.kernel_operators import SymmetricProduct, spectral_normalisation
from blockyard.blocks.nonlocals.operators import Dense


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affinity(seed: int = 0):
    return spectral_normalisation(SymmetricProduct(draw(1, 3, 8, seed=seed).abs(), draw(1, 3, 8, seed=seed + 1).abs()))


@settings(max_examples=20, deadline=None)
@given(order=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_recurrence_gives_chebyshev_polynomials_of_the_eigenvalues(order, seed):
    """T_k(A) = U cos(k arccos Λ) Uᵀ."""
    operator, z = affinity(seed), draw(1, 4, 8)
    eigenvalues, vectors = torch.linalg.eigh(operator.dense()[0])
    for k, term in enumerate(polynomials(operator, z, order, "chebyshev")):
        response = torch.cos(k * torch.arccos(eigenvalues.clamp(-1, 1)))
        # arccos loses half the digits beside ±1, where the largest eigenvalue is.
        torch.testing.assert_close(term[0], z[0] @ vectors @ response.diag() @ vectors.T, rtol=0, atol=1e-6)


def test_the_power_basis_is_powers():
    operator, z = affinity(), draw(1, 4, 8)
    for k, term in enumerate(polynomials(operator, z, 4, "power")):
        torch.testing.assert_close(term, Dense(torch.linalg.matrix_power(operator.dense(), k)).apply(z))


def test_both_bases_span_the_same_filters():
    """T_2 = 2A² − 1 and T_3 = 4A³ − 3A: coefficients in one basis give those in the other."""
    power = SpectralNonlocal(4, order=3, basis="power").double().eval()
    chebyshev = SpectralNonlocal(4, order=3, basis="chebyshev").double().eval()
    chebyshev.load_state_dict(power.state_dict())
    for block in (power, chebyshev):
        torch.nn.init.ones_(block.filters[0].norm.weight)
    b0, b1, b2, b3 = chebyshev.filters[0].out.weight.data.split(2, 1)
    power.filters[0].out.weight.data = torch.cat([b0 - b2, b1 - 3 * b3, 2 * b2, 4 * b3], 1)
    x = draw(2, 4, 3, 5)
    torch.testing.assert_close(power(x), chebyshev(x))
    assert not torch.allclose(power(x), x)


def test_higher_coefficients_of_zero_leave_snl():
    snl, gsnl = SpectralNonlocal(4).double().eval(), SpectralNonlocal(4, order=3).double().eval()
    state = snl.state_dict()
    weight = torch.zeros_like(gsnl.filters[0].out.weight)
    weight[:, :4] = state["filters.0.out.weight"]
    state["filters.0.norm.weight"].fill_(1)
    gsnl.load_state_dict(state | {"filters.0.out.weight": weight})
    torch.testing.assert_close(gsnl(draw(2, 4, 3, 5)), snl(draw(2, 4, 3, 5)))


@pytest.mark.parametrize("tied", ["nonlocal", "laplacian"])
def test_tied_coefficients_are_cases_of_the_free_filter(tied):
    """Θ_0 = 0 is the nonlocal block; Θ_0 = −Θ_1 the nonlocal stage."""
    block = (Nonlocal if tied == "nonlocal" else NonlocalStage)(4).double().eval()
    unit, free = block.filters[0], SpectralNonlocal(4).double().eval().filters[0]
    torch.nn.init.ones_(unit.norm.weight)
    theta = unit.out.weight.data
    free.load_state_dict(
        unit.state_dict()
        | {"out.weight": torch.cat([torch.zeros_like(theta) if tied == "nonlocal" else -theta, theta], 1)}
    )
    x = draw(2, 4, 3, 5)
    torch.testing.assert_close(free(block.affinity(x), x), unit(block.affinity(x), x))


def test_a_stage_leaves_a_constant_signal_alone():
    block = NonlocalStage(4, steps=2).double().eval()
    for unit in block.filters:
        torch.nn.init.ones_(unit.norm.weight)
    x = torch.full((1, 4, 3, 3), 0.7, dtype=torch.float64)
    torch.testing.assert_close(block(x), x)


def test_steps_share_one_affinity_and_stacked_blocks_do_not():
    shared = SpectralNonlocal(4, steps=2).double().eval()
    for unit in shared.filters:
        torch.nn.init.ones_(unit.norm.weight)
    stacked = [SpectralNonlocal(4).double().eval() for _ in range(2)]
    for block, unit in zip(stacked, shared.filters, strict=True):
        block.affinity.load_state_dict(shared.affinity.state_dict())
        block.filters[0].load_state_dict(unit.state_dict())
    x = draw(2, 4, 3, 5)
    first = stacked[0](x)
    assert not torch.allclose(shared(x), stacked[1](first))
    torch.testing.assert_close(shared(x), first + shared.filters[1](shared.affinity(x), first))


@pytest.mark.parametrize("options", [{"order": 0}, {"order": -1}, {"steps": 0}])
def test_an_order_or_a_number_of_steps_below_one_is_refused(options):
    with pytest.raises(ValueError, match="must be at least 1"):
        SpectralNonlocal(4, **options)
