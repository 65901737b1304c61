"""Second-order pooling: the matrix is the covariance, under autocast too, and the gates follow from it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks import GSoP
from blockyard.blocks.channels.second_order import covariance, released_covariance


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_covariance_is_torch_cov_of_every_sample():
    x = draw(3, 5, 40)
    expected = torch.stack([torch.cov(sample, correction=0) for sample in x])
    torch.testing.assert_close(covariance(x), expected)


def test_covariance_knows_no_offset_of_a_row():
    x = draw(2, 6, 30)
    torch.testing.assert_close(covariance(x + 100 * draw(2, 6, 1)), covariance(x))


@pytest.mark.parametrize("matrix", [covariance, released_covariance])
def test_covariance_is_float32_under_autocast(matrix):
    """In bfloat16 a mean of 100 leaves nothing of a deviation of 0.1."""
    x = torch.randn(2, 6, 64) * 0.1 + 100
    with torch.autocast("cpu", torch.bfloat16):
        mixed = matrix(x)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, matrix(x))


def test_the_released_matrix_is_no_covariance():
    """Its centring matrix divides by the number of positions where that of channels belongs."""
    channels, positions = 16, 64
    cells = draw(2, positions, channels)
    x = cells.transpose(1, 2)
    centring = torch.eye(channels) / positions - torch.ones(channels, channels) / positions**2
    expected = x.transpose(1, 2) @ centring.double() @ x
    torch.testing.assert_close(released_covariance(cells), expected)
    assert not torch.allclose(released_covariance(cells + 10), released_covariance(cells))
    torch.testing.assert_close(covariance(cells + 10), covariance(cells))


def test_channel_gates_written_out():
    block, x = GSoP(12, inner=4).double().eval(), draw(2, 12, 5, 6)
    reduced = F.conv2d(x.relu(), block.reduce.conv.weight.unsqueeze(-1), block.reduce.conv.bias)
    reduced = (reduced / (1 + block.reduce_norm.eps) ** 0.5).relu().flatten(2)
    matrix = torch.stack([torch.cov(sample, correction=0) for sample in reduced]) / (1 + block.row_norm.eps) ** 0.5
    kernels = block.rows.weight.reshape(4, 4, 4)  # four numbers for each of four rows
    summary = torch.einsum("brn,rkn->brk", matrix, kernels).flatten(1) + block.rows.bias
    gates = torch.sigmoid(summary @ block.gates.weight.T + block.gates.bias)
    torch.testing.assert_close(block(x), x * gates[:, :, None, None])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_stride_leaves_positions_out_of_the_covariance_and_none_out_of_the_map(rank: int):
    every, second = GSoP(12, rank, inner=4).eval(), GSoP(12, rank, inner=4, stride=2).eval()
    second.load_state_dict(every.state_dict())
    x = torch.randn(2, 12, *(7, 6, 5)[:rank])
    gates = every(x[(..., *(slice(None, None, 2),) * rank)]) / x[(..., *(slice(None, None, 2),) * rank)]
    torch.testing.assert_close(second(x) / x, gates.flatten(2)[:, :, :1].reshape(2, 12, *(1,) * rank).expand_as(x))


def test_channel_gates_have_the_published_size():
    """641 C + 66,688 at d = 128: the reduction, two norms, 128 rows of four kernels, and the gates."""
    for channels in (256, 512, 1024, 2048):
        assert sum(p.numel() for p in GSoP(channels).parameters()) == 641 * channels + 66_688


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize(("rank", "size"), [(1, (32,)), (2, (16, 24)), (3, (8, 16, 8))])
def test_position_gates_are_one_for_all_channels_and_one_for_a_cell(rank: int, size: tuple[int, ...], released: bool):
    block = GSoP(6, rank, inner=4, attention="position", released=released).double().eval()
    x = draw(2, 6, *size)
    gate = block(x) / x
    torch.testing.assert_close(gate, gate[:, :1].expand_as(gate))
    cells = gate[:, 0]
    for axis, side in enumerate(size):
        cells = cells.unflatten(axis + 1, (8, side // 8)).select(axis + 2, 0)
    spread = F.interpolate(cells[:, None], size, mode="nearest-exact")
    torch.testing.assert_close(gate[:, :1], spread)
    assert cells.flatten(1).std(1).min() > 0


def test_position_gates_compare_cells_over_channels():
    """The same offset on every channel of the reduced map changes nothing: a covariance over channels."""
    block = GSoP(6, inner=4, attention="position").double().eval()
    x = draw(2, 6, 16, 16)
    gate = block(x) / x
    block.reduce.conv.bias.data += 5
    torch.testing.assert_close(block(x) / x, gate)
    released = GSoP(6, inner=4, attention="position", released=True).double().eval()
    released.load_state_dict(block.state_dict())
    gate = released(x) / x
    released.reduce.conv.bias.data += 5
    assert not torch.allclose(released(x) / x, gate)


def test_maps_smaller_than_the_grid_work():
    block = GSoP(6, inner=4, attention="position").eval()
    assert block(torch.randn(1, 6, 3, 5)).shape == (1, 6, 3, 5)


def test_a_batch_of_one_trains():
    for attention in ("channel", "position"):
        block = GSoP(6, inner=4, attention=attention)
        block(torch.randn(1, 6, 9, 9)).sum().backward()
        assert all(p.grad is not None for p in block.parameters())


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="inner and stride must be at least 1, got 0 and 1"):
        GSoP(6, inner=0)
    with pytest.raises(ValueError, match="for attention='position' only"):
        GSoP(6, released=True)
    with pytest.raises(ValueError, match="for attention='channel' only"):
        GSoP(6, attention="position", stride=2)


def test_zero_gate_weights_halve_the_map():
    block, x = GSoP(6, inner=4), torch.randn(2, 6, 5, 5)
    for parameter in block.gates.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(x), x / 2)
