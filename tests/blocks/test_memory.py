"""No N×N matrix: what autograd keeps grows linearly with the number of positions."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from blockyard.blocks import (
    CompactNonlocal,
    DisentangledNonlocal,
    DoubleAttention,
    Nonlocal,
    NonlocalStage,
    PositionAttention,
    SpectralNonlocal,
)
from blockyard.costs import saved_activation_bytes

LINEAR = {
    "Nonlocal": Nonlocal,
    "Nonlocal dot_product": partial(Nonlocal, kernel="dot_product"),
    "Nonlocal concatenation": partial(Nonlocal, kernel="concatenation"),
    "NonlocalStage": NonlocalStage,
    "DoubleAttention": DoubleAttention,
    "CompactNonlocal": CompactNonlocal,
    "SpectralNonlocal": SpectralNonlocal,
    "gSNL": partial(SpectralNonlocal, order=3),
    "SpectralNonlocal exp": partial(SpectralNonlocal, kernel="exp"),
    "SpectralNonlocal sigmoid": partial(SpectralNonlocal, kernel="sigmoid"),
    "DisentangledNonlocal": DisentangledNonlocal,
    "PositionAttention": PositionAttention,
}


def kept(block: torch.nn.Module, n: int) -> int:
    x = torch.randn(1, 16, n, requires_grad=True)
    return saved_activation_bytes(lambda: block(x))


@pytest.mark.parametrize("make", LINEAR.values(), ids=LINEAR.keys())
def test_memory_for_the_backward_grows_linearly(make):
    block = make(16, 1)
    small, large = kept(block, 1024), kept(block, 4096)
    # The matrix alone would be 67 MB at N = 4096 and grow sixteenfold; per-row softmax statistics are linear too.
    assert large < 4.2 * small
    assert large < 16e6


def test_the_materialised_form_does_not():
    block = SpectralNonlocal(16, 1, evaluation="dense")
    assert kept(block, 4096) > 12 * kept(block, 1024)
