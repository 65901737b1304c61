"""How far stages are from their parallel form."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from blockyard.analysis.parallel_form import parallel_forms
from blockyard.backbones import PreResNet, TwoViewNet
from blockyard.blocks import ParallelSum
from blockyard.plugging import plug


def network(depth: int = 20, scale: float = 1.0) -> PreResNet:
    torch.manual_seed(0)
    made = PreResNet(10, 1, depth=depth).double().eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            weight.mul_(scale if name.startswith("layer") and name.endswith("conv2.weight") else 1)
    return made


def samples(count: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(1, 1, 8, 8, dtype=torch.float64) for _ in range(count)]


def test_it_is_the_distance_of_the_stages_maps():
    made, xs = network(), samples()
    before = copy.deepcopy(made.state_dict())
    found = parallel_forms(made, xs)
    other = plug(copy.deepcopy(made), ParallelSum, "stage2", mode="around", quiet=True, example=xs[0])
    x = torch.cat(xs)
    stack, summed = made.layer2(made.layer1(made.conv1(x))), other.layer2(other.layer1(other.conv1(x)))
    assert [one.stage for one in found] == ["stage1", "stage2", "stage3"]
    assert found[1].distance == pytest.approx(((stack - summed).norm() / stack.norm()).item(), rel=1e-9)
    assert found[1].agreement == float((made(x).argmax(1) == other(x).argmax(1)).double().mean())
    assert all(torch.equal(a, b) for a, b in zip(before.values(), made.state_dict().values(), strict=True))


def test_a_single_unit_is_its_own_form_and_branches_of_size_epsilon_are_off_by_its_square():
    assert [one.distance for one in parallel_forms(network(depth=8), samples())] == [0, 0, 0]
    # of the first stage; the map itself does not shrink with its branches
    large, small = (parallel_forms(network(scale=epsilon), samples())[0].distance for epsilon in (2e-3, 1e-3))
    assert large / small == pytest.approx(4, rel=0.1)


def test_stages_without_such_a_form_say_why():
    found = parallel_forms(TwoViewNet(10, 1), [torch.zeros(1, 1, 28, 28)])
    assert all(one.distance is None and "ParallelSum" in one.refusal for one in found)
    with pytest.raises(ValueError, match="Linear has no known stages"):
        parallel_forms(nn.Linear(2, 2), [torch.zeros(1, 2)])
