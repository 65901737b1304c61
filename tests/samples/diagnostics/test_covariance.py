"""Colours of textures: what each looks like alone is the same in every class."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.samples.diagnostics.covariance import CONTRAST, CORRELATIONS, PARTS, mixing, write_covariance
from blockyard.samples.diagnostics.material import GREY


@pytest.mark.parametrize("title", CORRELATIONS)
def test_the_mixture_has_the_correlations(title: str):
    matrix = mixing(title) @ mixing(title).T
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-5)  # float32
    assert tuple(np.sign(matrix[[0, 0, 1], [1, 2, 2]])) == CORRELATIONS[title]


def test_means_and_variances_agree_and_covariances_differ(tmp_path, read):
    """Clipped at black and white, a texture of few bright spots keeps its mean to 5 greys and loses contrast."""
    write_covariance(tmp_path, train=1, val=1, test=60)
    for title, signs in CORRELATIONS.items():
        pictures = read(tmp_path / "test" / title)[..., ::-1].astype(float)
        assert np.abs(pictures.mean((1, 2)) - GREY).max() < 5
        assert (pictures.std((1, 2)) <= CONTRAST + 0.5).all()
        assert pictures.std((1, 2)).min() > 0.5 * CONTRAST
        correlations = np.mean([np.corrcoef(picture.reshape(-1, 3).T) for picture in pictures], 0)
        assert tuple(np.sign(correlations[[0, 0, 1], [1, 2, 2]])) == signs
        assert np.abs(correlations[[0, 0, 1], [1, 2, 2]]).min() > 0.3


def test_splits_are_cut_from_different_columns():
    ends = [PARTS[split] for split in ("train", "val", "test")]
    assert ends[0][1] <= ends[1][0]
    assert ends[1][1] <= ends[2][0]
