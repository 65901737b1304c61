"""Colours of textures: what each looks like alone is the same in every class."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.samples.diagnostics.covariance import CONTRAST, CORRELATIONS, mixing, write_covariance
from blockyard.samples.diagnostics.material import GREY


@pytest.mark.parametrize("title", CORRELATIONS)
def test_the_mixture_has_the_correlations(title: str):
    matrix = mixing(title) @ mixing(title).T
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-5)  # float32
    assert tuple(np.sign(matrix[[0, 0, 1], [1, 2, 2]])) == CORRELATIONS[title]


def test_means_and_variances_agree_and_covariances_differ(tmp_path, read):
    """To whole greys, but for a pixel in a thousand or so that is clipped at black or white."""
    write_covariance(tmp_path, {"test": 60})
    for title, signs in CORRELATIONS.items():
        pictures = read(tmp_path / "test" / title)[..., ::-1].astype(float)
        assert np.abs(pictures.mean((1, 2)) - GREY).max() < 0.5
        assert np.abs(pictures.std((1, 2)) - CONTRAST).max() < 0.5
        correlations = np.mean([np.corrcoef(picture.reshape(-1, 3).T) for picture in pictures], 0)
        assert tuple(np.sign(correlations[[0, 0, 1], [1, 2, 2]])) == signs
        assert np.abs(correlations[[0, 0, 1], [1, 2, 2]]).min() > 0.3
