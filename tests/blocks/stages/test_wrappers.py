"""The contract that every wrapper keeps, around stages of every rank: that of the blocks, with a host."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from blockyard.backbones.preresnet import BasicBlock
from blockyard.blocks import Block, Wrapper, list_blocks, list_wrappers
from blockyard.blocks.stages.units import UnitWrapper
from blockyard.plugging import Wrapped

OURS = [kind for kind in list_wrappers() if kind.__module__.startswith("blockyard.")]
CHANNELS, WIDTH = 4, 6
SIZE = (6, 8, 5)
every_wrapper = pytest.mark.parametrize("kind", OURS)
every_unit_wrapper = pytest.mark.parametrize("kind", [kind for kind in OURS if issubclass(kind, UnitWrapper)])
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])
strides = pytest.mark.parametrize("stride", [1, 2])


def stage(rank: int, stride: int = 2, units: int = 3) -> nn.Sequential:
    """Units of a PreResNet; the first one goes from 4 to 6 channels, or keeps 6 at stride 1."""
    first = BasicBlock(CHANNELS if stride > 1 else WIDTH, WIDTH, stride, rank)
    return nn.Sequential(first, *(BasicBlock(WIDTH, WIDTH, 1, rank) for _ in range(units - 1)))


def wrapped(kind: type[Wrapper], rank: int = 2, stride: int = 2) -> Wrapped:
    host = stage(rank, stride)
    return Wrapped(host, kind(WIDTH, rank, host=host))


def draw(batch: int, rank: int = 2, stride: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(batch, CHANNELS if stride > 1 else WIDTH, *SIZE[:rank], dtype=dtype)


@strides
@every_rank
@every_wrapper
def test_gives_the_shape_that_the_host_gives_and_owns_nothing_of_it(kind, rank: int, stride: int):
    network, x = wrapped(kind, rank, stride).eval(), draw(3, rank, stride)
    given = x.clone()
    assert network(x).shape == network.host(x).shape
    assert torch.equal(x, given)
    assert not {id(p) for p in network.block.parameters()} & {id(p) for p in network.host.parameters()}
    assert not [module for module in network.block.modules() if module in set(network.host.modules())]


@every_wrapper
def test_says_by_its_class_whether_it_changes_the_network_at_first(kind):
    network, x = wrapped(kind).eval(), draw(3)
    assert torch.equal(network(x), network.host(x)) == kind.identity_at_init


@strides
@every_rank
@every_wrapper
def test_a_gradient_reaches_every_parameter_by_the_second_step(kind, rank: int, stride: int, assert_learns: Callable):
    network, x = wrapped(kind, rank, stride).double(), draw(4, rank, stride, torch.float64)
    target = torch.randn_like(network(x))  # not of x alone, whose means a norm's bias would have no reason to move
    assert_learns(network, lambda: (network(x) - target).square().mean())


@every_rank
@every_wrapper
def test_autocast_and_half_precision_stay_close_to_float32(kind, rank: int):
    network, x = wrapped(kind, rank).eval(), draw(3, rank)
    expected = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(x)
    pure = copy.deepcopy(network).bfloat16()(x.bfloat16())
    assert mixed.dtype == network_dtype(network, x)
    assert pure.dtype == torch.bfloat16
    for result in (mixed, pure):
        # 2^-8 is bfloat16's rounding; some ten of them, for a stage has six convolutions
        assert (result.float() - expected).abs().max() < 0.05 * expected.abs().max()


def network_dtype(network: Wrapped, x: Tensor) -> torch.dtype:
    with torch.autocast("cpu", torch.bfloat16):
        return network.host(x).dtype


@every_wrapper
def test_the_output_may_be_modified_in_place(kind):
    network, x = wrapped(kind), draw(3).requires_grad_()
    network(x).add_(1).relu_().sum().backward()


@every_wrapper
def test_a_sample_does_not_depend_on_the_rest_of_the_batch(kind):
    network, x = wrapped(kind).eval().double(), draw(3, dtype=torch.float64)
    torch.testing.assert_close(network(x)[1:2], network(x[1:2]))


@pytest.mark.parametrize("batch", [0, 1])
@every_rank
@every_wrapper
def test_one_sample_a_process_or_none_is_enough_to_train(kind, rank: int, batch: int):
    block, host, x = wrapped(kind, rank).block, stage(rank).eval(), draw(batch, rank).requires_grad_()
    before = {name: buffer.clone() for name, buffer in block.named_buffers()}
    block.train()(host, x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())
    assert all(torch.equal(buffer, before[name]) for name, buffer in block.named_buffers())


@every_wrapper
def test_memory_format_does_not_matter(kind):
    network, x = wrapped(kind).eval().double(), draw(2, dtype=torch.float64)
    torch.testing.assert_close(network(x.contiguous(memory_format=torch.channels_last)), network(x))


@every_wrapper
def test_compiles_to_one_graph(kind):
    network, x = wrapped(kind), draw(2)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)  # the same kernels in another order


@strides
@every_wrapper
def test_exports_with_any_batch_height_and_width(kind, stride: int):
    network = wrapped(kind, stride=stride).eval().double()
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    x = torch.randn(2, draw(1, stride=stride).shape[1], 16, 16, dtype=torch.float64)
    program = torch.export.export(network, (x,), dynamic_shapes=(dynamic,)).module()
    for batch, size in ((1, (4, 4)), (3, (5, 9)), (2, (40, 30))):
        x = torch.randn(batch, x.shape[1], *size, dtype=torch.float64)
        torch.testing.assert_close(program(x), network(x))


@every_wrapper
def test_large_maps_stay_finite_in_half_precision(kind):
    network = wrapped(kind, stride=1)
    with torch.autocast("cpu", torch.float16):
        y = network(30 * draw(3, stride=1))
    y.float().mean().backward()
    assert y.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@every_unit_wrapper
def test_what_it_cannot_go_around_is_answered_in_one_line(kind):
    def refused(host: nn.Module | None, why: str, rank: int = 2) -> None:
        with pytest.raises(ValueError, match=why) as error:
            kind(WIDTH, rank, host=host)
        assert "\n" not in str(error.value)

    refused(None, "needs the module that it goes around")
    refused(BasicBlock(WIDTH, WIDTH), "as in an nn.Sequential; BasicBlock has none")
    refused(nn.Sequential(), "Sequential has none")
    refused(stage(2), "spatial_dims must be one of", 4)


class Spoiler(nn.Module):
    """Overwrites its input, as an in-place activation in front of everything does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu_() + 1


@every_unit_wrapper
def test_a_unit_that_changes_its_input_in_place_is_refused(kind):
    host = nn.Sequential(nn.Conv2d(CHANNELS, WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1), Spoiler())
    network = Wrapped(host, kind(WIDTH, host=host))
    with torch.no_grad(), pytest.raises(ValueError, match="Spoiler changes it in place"):
        network(draw(2))


def test_wrappers_are_found_by_glob_name_their_paper_and_are_no_blocks():
    assert {"ParallelSum", "Recursion", "SelectiveDepth"} <= {kind.__name__ for kind in OURS}
    assert list_wrappers("nothing*") == []
    assert not [kind for kind in OURS if issubclass(kind, Block) or kind in list_blocks()]
    assert all(kind.paper.rsplit(" ", 1)[1].isdigit() and kind.__doc__ for kind in OURS), "the year stands last"
