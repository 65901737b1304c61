"""Signs of two digits: to an affine network a picture and its negative are one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from blockyard.samples.diagnostics.covariance import write_covariance
from blockyard.samples.diagnostics.material import GREY
from blockyard.samples.diagnostics.product import CLASSES, write_product


@pytest.mark.parametrize("write", [write_product, write_covariance])
def test_no_affine_network_can_learn_anything(tmp_path, read, write):
    """The cross-entropy is convex in an affine map W x + b, and its slope in W is zero at W = 0.

    For a picture and its negative are there with the same label: what one pulls, the other pushes.
    """
    write(tmp_path, {"train": 12})
    titles = sorted(path.name for path in (tmp_path / "train").iterdir())
    pictures = [read(tmp_path / "train" / title) for title in titles]
    x = torch.from_numpy(np.concatenate(pictures).reshape(24, -1) - GREY)
    labels = torch.from_numpy(np.repeat(np.arange(len(titles)), [len(some) for some in pictures]))
    weight = torch.zeros(len(titles), x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.randn(len(titles), dtype=x.dtype)
    F.cross_entropy(x @ weight.T + bias, labels, reduction="sum").backward()
    # rounding to whole greys may leave a picture and its negative half a grey apart, each way
    assert weight.grad is not None
    assert weight.grad.abs().max() <= 0.5 * 24
    assert (x[0] + x[1]).abs().max() <= 1


def test_the_label_is_the_product_of_the_signs(tmp_path, read):
    write_product(tmp_path, {"test": 20})
    for sign, title in CLASSES.items():
        for picture in read(tmp_path / "test" / title) - GREY:
            blue, green, red = picture.reshape(-1, 3).T
            assert np.sign(blue.sum()) * np.sign(red.sum()) == sign
            assert np.abs(green).max() <= 0.5
