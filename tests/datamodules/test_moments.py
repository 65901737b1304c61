"""Mean and deviation in one pass, whatever the blocks and wherever a channel has no value."""

import numpy as np

from blockyard.datamodules.moments import moments_of


def test_moments_in_one_pass_are_those_of_the_whole():
    values = np.random.default_rng(0).normal((1e6, 0), (1e-3, 5), (1000, 2))
    for cuts in ([], [1, 2, 500], [999]):
        mean, std = moments_of(np.split(values, cuts))
        np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
        np.testing.assert_allclose(std[1], values[:, 1].std(), rtol=1e-12)
        assert std[0] == 1, "beyond what float32 can tell at that offset"


def test_a_channel_has_the_rows_where_it_is_a_number():
    values = np.random.default_rng(0).normal((3, -7, 1), (1, 20, 1), (600, 3)).astype(np.float32)
    values[:400, 0], values[500:, 1], values[:, 2] = np.nan, np.nan, np.nan
    for cuts in ([], [1, 2, 450], [599]):
        mean, std = moments_of(np.split(values, cuts))
        np.testing.assert_allclose(mean[:2], np.nanmean(values[:, :2].astype(float), 0), rtol=1e-12)
        np.testing.assert_allclose(std[:2], np.nanstd(values[:, :2].astype(float), 0), rtol=1e-12)
        assert (mean[2], std[2]) == (0, 1), "no value at all"
