"""The generalised mean, by its formula and at its ends."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blockyard.poolings import GeM


@given(power=st.floats(0.2, 20), scale=st.floats(1e-3, 1e3), rank=st.integers(1, 3))
def test_is_its_formula_and_scales_with_the_map(power: float, scale: float, rank: int):
    x = torch.rand(2, 3, *(4, 5, 2)[:rank], dtype=torch.float64) + 0.1
    pooling = GeM(3, power).double()
    expected = x.flatten(2).pow(pooling.power).mean(2).pow(1 / pooling.power)
    torch.testing.assert_close(pooling(x), expected)
    torch.testing.assert_close(pooling(scale * x), scale * expected)


def test_lies_between_the_mean_and_the_maximum_and_reaches_both():
    x = torch.rand(4, 3, 6, 6, dtype=torch.float64)
    mean, largest = x.mean((2, 3)), x.amax((2, 3))
    torch.testing.assert_close(GeM(3, 1.0).double()(x), mean)
    # with p the maximum is missed by a factor of N^(1/p) at most
    near = GeM(3, 1000.0).double()(x)
    assert (near <= largest).all()
    assert (near >= largest * 36 ** (-1 / 1000)).all()
    assert ((GeM(3).double()(x) > mean) & (GeM(3).double()(x) < largest)).all()


def test_float32_keeps_powers_that_overflow_by_themselves():
    x = torch.tensor([[[1e-5, 2e-5, 4e-5]], [[1e8, 2e8, 4e8]]])
    wide = GeM(1, 10.0).double()(x.double())
    torch.testing.assert_close(GeM(1, 10.0)(x).double(), wide, rtol=1e-6, atol=0)


def test_negative_values_count_as_next_to_nothing_and_the_power_may_be_fixed():
    assert GeM(1)(torch.full((1, 1, 4), -3.0)).item() == pytest.approx(1e-6)
    assert not [name for name, p in GeM(1, learned=False).named_parameters() if p.requires_grad]
    with pytest.raises(ValueError, match="GeM: power must be positive, got 0"):
        GeM(1, 0.0)
