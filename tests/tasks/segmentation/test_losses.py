"""Which pixels count how much."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blockyard.tasks.segmentation.losses import RAREST, counted, rarity


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


class Masks:
    """Of three classes, in two masks; the last class is in the second alone."""

    classes = ("a", "b", "c")

    def __init__(self, masks):
        self.masks = masks

    def pixel_counts(self):
        found = np.array([np.bincount(mask, minlength=256)[:3] for mask in self.masks])
        return np.stack([found.sum(0), ((found > 0) * found.sum(1, keepdims=True)).sum(0)])


MASKS = ([0, 0, 0, 0, 0, 1, 1, 255], [0, 0, 1, 2])


def test_balanced_weights_have_the_mean_1_over_pixels_and_give_each_class_the_same():
    weights = counted("balanced", Masks(MASKS), lambda counts: counts)
    pixels = np.array([7, 3, 1])
    assert np.allclose(weights * pixels, 11 / 3)
    assert np.isclose((weights * pixels).sum(), pixels.sum())


def test_median_weights_go_by_the_masks_that_show_a_class():
    frequencies = [7 / 11, 3 / 11, 1 / 4]
    assert np.allclose(counted("median", Masks(MASKS), lambda counts: counts), [3 / 11 / f for f in frequencies])


@pytest.mark.parametrize("kind", ["balanced", "median"])
def test_processes_that_count_a_part_each_find_the_same(kind):
    other = torch.from_numpy(Masks(MASKS[1:]).pixel_counts())
    parts = counted(kind, Masks(MASKS[:1]), lambda counts: counts + other)
    assert parts == counted(kind, Masks(MASKS), lambda counts: counts)


def test_what_cannot_be_counted_is_said():
    with pytest.raises(ValueError, match=r"^class_weights: balanced divides by the pixels of c, and no training mask"):
        counted("balanced", Masks(MASKS[:1]), lambda counts: counts)
    with pytest.raises(ValueError, match=r"^class_weights: median counts pixels .* which no data module can't say"):
        counted("median", None, lambda counts: counts)
