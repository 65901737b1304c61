"""PSNR and SSIM of each picture are what their definitions say."""

from __future__ import annotations

import math

import pytest
import torch

from blockyard.tasks.restoration.quality import BEST_PSNR, psnr, ssim


def test_psnr_is_that_of_each_pictures_own_error():
    true = torch.rand(3, 3, 16, 16)
    error = torch.tensor([0.1, 0.01, 0.5]).view(3, 1, 1, 1)
    # 10 log10(1 / error²); float32 leaves errors of 1e-5 of the small one
    assert psnr(true + error, true).tolist() == pytest.approx([20.0, 40.0, -20 * math.log10(0.5)], abs=2e-4)


def test_a_picture_without_error_is_at_the_bound():
    true = torch.rand(2, 1, 16, 16)
    assert psnr(true, true).tolist() == [BEST_PSNR, BEST_PSNR]
    assert ssim(true, true).tolist() == pytest.approx([1, 1])


def test_ssim_of_flat_pictures_is_the_luminance_term():
    """(2 a b + c1) / (a² + b² + c1): without variance the other factor is one."""
    a, b, c1 = 0.25, 0.75, 0.01**2
    found = ssim(torch.full((1, 1, 16, 16), a), torch.full((1, 1, 16, 16), b))
    # a variance is the difference of float32 squares, wrong by 1e-7 beside that factor's constant of 9e-4
    assert found.item() == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-3)


def test_pictures_do_not_change_each_others_scores():
    true, restored = torch.rand(4, 3, 24, 24), torch.rand(4, 3, 24, 24)
    for score in (psnr, ssim):
        alone = torch.cat([score(restored[i : i + 1], true[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(score(restored, true), alone)
