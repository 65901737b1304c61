"""A reversible stage can be undone, trains as if it were not, and keeps as much of any number of units."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.backbones.preresnet import BasicBlock
from blockyard.blocks import InvertedResidual, Recursion, ReversibleStage, SelfAttention
from blockyard.costs import count_parameters, saved_activation_bytes

SIZE = (4, 6, 5)
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])


def stage(rank: int = 2, depth: int = 3, **options) -> ReversibleStage:
    """One whose units do something."""
    torch.manual_seed(0)
    made = ReversibleStage(8, rank, depth=depth, **options)
    for name, parameter in made.named_parameters():
        nn.init.normal_(parameter, float("project.1.weight" in name), 0.3)
    return made.double()


def draw(rank: int = 2) -> Tensor:
    return torch.randn(3, 8, *SIZE[:rank], dtype=torch.float64, generator=torch.Generator().manual_seed(rank))


@every_rank
def test_it_is_the_coupling_of_what_the_units_add(rank: int):
    made, x = stage(rank, depth=1).eval(), draw(rank)
    f, g = (added.block for added in made.added)
    x1, x2 = x.chunk(2, 1)
    y1 = x1 + f.project(f.depthwise(f.expand(x2)))
    y2 = x2 + g.project(g.depthwise(g.expand(y1)))
    torch.testing.assert_close(made(x), torch.cat([y1, y2], 1))


@every_rank
def test_it_can_be_undone(rank: int):
    made, x = stage(rank).eval(), draw(rank)
    with torch.no_grad():
        torch.testing.assert_close(made.inverse(made(x)), x, rtol=0, atol=1e-12)


@every_rank
@pytest.mark.parametrize("unit", [InvertedResidual, partial(SelfAttention, head_width=2)])
def test_gradients_and_statistics_are_those_without_recomputation(rank: int, unit):
    again = stage(rank, unit=unit)
    plain = copy.deepcopy(again)
    plain.recompute = False
    found, expected = ([], [])
    for made, gradients in ((again, found), (plain, expected)):
        x = draw(rank).requires_grad_()
        made(x).square().sum().backward()
        gradients += [x.grad, *(p.grad for p in made.parameters()), *made.buffers()]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_depth():
    x = torch.randn(2, 8, 8, 8)

    def kept(depth: int, **options) -> int:
        made = ReversibleStage(8, depth=depth, **options)
        return saved_activation_bytes(lambda: made(x))

    assert kept(1) == kept(2) == kept(8) == x.nbytes
    assert kept(8, recompute=False) > 7 * kept(1, recompute=False)


def test_its_units_are_mobilenets_of_half_the_channels():
    assert count_parameters(ReversibleStage(16, depth=3)) == 6 * count_parameters(InvertedResidual(8))
    assert count_parameters(ReversibleStage(16, 3, depth=3)) == 6 * count_parameters(InvertedResidual(8, 3))


def test_it_takes_the_place_of_all_units_of_a_stage_but_the_first():
    network = PreResNet(10)
    first = copy.deepcopy(network.layer2[0])
    plug(network, ReversibleStage, "stage2", mode="replace", quiet=True)
    block = network.layer2.block
    assert len(block.added) == 4
    assert all(map(torch.equal, block.first.parameters(), first.parameters()))
    x = torch.randn(2, 3, 16, 16)
    network(x).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    torch.testing.assert_close(block.eval()(y := torch.randn(1, 16, 8, 8)), block.first(y))  # adds nothing at first


def test_it_stands_within_what_runs_again():
    """Its statistics and its gradients pass through what calls it with other buffers."""
    host = nn.Sequential(stage(), stage())
    once = Recursion(8, host=host).double()
    once(host, draw()).square().sum().backward()
    assert all(p.grad is not None for p in host.parameters())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (partial(ReversibleStage, 7), "7 channels are not divisible by halves=2"),
        (partial(ReversibleStage, 8, depth=0), "one pair of units at least, got 0"),
        (partial(ReversibleStage, 8, host=nn.Sequential(BasicBlock(8, 8))), "one pair of units at least, got 0"),
        (partial(ReversibleStage, 8, host=nn.Conv2d(8, 8, 1)), "units that run one after another"),
        (partial(ReversibleStage, 8, host=nn.Sequential(nn.ReLU(), nn.ReLU())), "how many channels they take"),
    ],
)
def test_what_it_cannot_be_made_of_is_answered_in_one_line(make, said: str):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)
