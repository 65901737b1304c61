"""No N×N matrix: what autograd keeps grows linearly with the number of positions."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from blockyard.blocks import (
    AdaptiveHops,
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
    "AdaptiveHops": AdaptiveHops,
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


def test_a_spectral_block_keeps_little_more_than_its_input_and_that_of_its_norm():
    x = torch.randn(2, 16, 64, 8, requires_grad=True)
    # Besides both: Q, degrees and sums of each sample, the weights side by side, the norm's old and new statistics.
    c, n = 8, 512
    others = 2 * (2 * c * c + n + 2 * c) + 3 * c * 16 + 4 * 16
    assert saved_activation_bytes(lambda: SpectralNonlocal(16)(x)) == 4 * (2 * x.numel() + others)


def test_the_materialised_form_does_not():
    block = SpectralNonlocal(16, 1, evaluation="dense")
    assert kept(block, 4096) > 12 * kept(block, 1024)


class Largest(TorchDispatchMode):
    """Remembers the most elements that any tensor computed within it had."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def train_once(block: torch.nn.Module, n: int) -> int:
    """Elements of the largest tensor of a training step on a map of one second at n samples a second."""
    with Largest() as largest:
        block(torch.randn(1, 16, n)).square().mean().backward()
        torch.optim.SGD(block.parameters(), lr=0.1).step()
    return largest.elements


def test_a_spectral_block_trains_on_a_waveform_of_16000_samples():
    block, n = SpectralNonlocal(16, 1), 16_000
    before = [parameter.clone() for parameter in block.parameters()]
    # The three projections together are one and a half maps, and nothing is larger: N×N would be a thousand times that.
    assert train_once(block, n) == 24 * n
    train_once(block, n)  # it starts as the identity: only now does everything move
    assert all(not torch.equal(old, new) for old, new in zip(before, block.parameters(), strict=True))
    assert kept(block, n) < 4.2 * kept(block, n // 4)


def test_the_largest_tensor_would_tell():
    assert train_once(SpectralNonlocal(16, 1, evaluation="dense"), 1000) == 1000**2
