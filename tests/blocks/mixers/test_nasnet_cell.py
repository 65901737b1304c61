"""The cell of NASNet-A is what its table says, on one map."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blockyard.blocks import NASNetCell
from blockyard.blocks.mixers.nasnet_cell import Halving, Pool, padded


def test_it_is_the_sums_of_its_formula():
    block, x = NASNetCell(12).double().eval(), torch.randn(2, 12, 5, 4, dtype=torch.float64)
    cell = block.cell
    s0, s1 = (make(x) for make in cell.inputs)
    k = cell.operations

    def mean(state):
        return F.avg_pool2d(state, 3, 1, 1, count_include_pad=False)

    states = [s1, k[0](s0) + k[1](s1), k[2](s1) + k[3](s1), mean(s0) + s1, 2 * mean(s1), k[8](s0) + s0]
    torch.testing.assert_close(block(x), torch.cat(states, 1))
    assert [operation[0][0].taps for operation in (k[0], k[1], k[2], k[3], k[8])] == [5, 3, 5, 3, 3]


@pytest.mark.parametrize("length", [1, 2, 3, 6, 7])
def test_at_stride_two_positions_are_those_of_tensorflow(length: int):
    """``SAME``: what is missing lies on both sides, one more at the end, and maxima and means are of what there is."""
    x = torch.randn(1, 1, length, dtype=torch.float64)
    count = -(-length // 2)
    missing = 2 * (count - 1) + 3 - length
    windows = [x[..., max(0, 2 * i - missing // 2) : 2 * i - missing // 2 + 3] for i in range(count)]
    torch.testing.assert_close(Pool("average", 2)(x), torch.stack([window.mean(2) for window in windows], 2))
    torch.testing.assert_close(Pool("maximum", 2)(x), torch.stack([window.amax(2) for window in windows], 2))
    missing = max(2 * (count - 1) + 5 - length, 0)
    if length > 1:
        torch.testing.assert_close(padded(x, 5, 2), F.pad(x, (missing // 2, missing - missing // 2)))


def test_halving_reads_every_second_position_from_the_first_and_from_the_second_on():
    part = Halving(2, 4, 1, 1e-3).double().eval()
    x = torch.rand(1, 2, 5, dtype=torch.float64)
    later = torch.cat([x[..., 1::2], torch.zeros(1, 2, 1, dtype=torch.float64)], 2)
    expected = torch.cat([part.paths[0](x[..., ::2]), part.paths[1](later)], 1)
    torch.testing.assert_close(part(x), part.norm(expected))
