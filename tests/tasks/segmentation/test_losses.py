"""Which pixels count how much."""

from __future__ import annotations

import pytest

from blockyard.tasks.segmentation.losses import RAREST, rarity


def test_factors_have_a_mean_of_one_over_pixels_and_grow_with_rarity():
    shares = [0.64, 0.32, 0.04]
    factors = rarity(shares)
    assert sum(share * factor for share, factor in zip(shares, factors, strict=True)) == pytest.approx(1, abs=1e-2)
    assert factors[2] / factors[0] == pytest.approx(4, rel=1e-2)


def test_what_hardly_occurs_gets_no_larger_a_factor():
    factors = rarity([0.99, 0.01 - 1e-4, 1e-4, 0.0])
    assert factors[2] == factors[3]
    assert factors[3] / factors[0] == pytest.approx((0.99 / RAREST) ** 0.5, rel=1e-2)


def test_equal_shares_weigh_alike():
    assert rarity([0.25] * 4) == [1.0] * 4
