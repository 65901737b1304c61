"""Units that go, and a network that learns to say what a larger one says."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from blockyard.backbones import PreResNet, TimmBackbone
from blockyard.compression.distilling import distil
from blockyard.compression.rebuilding import compress
from blockyard.compression.sizes import Pruned
from blockyard.compression.units import removable, remove, units


def test_what_keeps_the_shape_may_go():
    network = PreResNet(5, 1, depth=20)
    assert units(network) == [f"layer{stage}.{number}" for stage in (1, 2, 3) for number in (0, 1, 2)]
    assert removable(network, torch.zeros(1, 1, 8, 8)) == [
        "layer1.0", "layer1.1", "layer1.2", "layer2.1", "layer2.2", "layer3.1", "layer3.2"
    ]  # fmt: skip
    assert removable(TimmBackbone(5, 1, name="resnet18"), torch.zeros(1, 1, 32, 32)) == [
        "net.layer1.0", "net.layer1.1", "net.layer2.1", "net.layer3.1", "net.layer4.1"
    ]  # fmt: skip


def test_a_unit_whose_branch_is_zero_is_not_missed():
    torch.manual_seed(0)
    network = PreResNet(5, 1, depth=20).eval()
    nn.init.zeros_(network.layer2[1].conv2.weight)
    part, x = copy.deepcopy(network), torch.rand(2, 1, 8, 8)
    remove(part, ["layer2.1"])
    assert torch.equal(part(x), network(x))
    built = PreResNet(5, 1, depth=20).eval()
    compress(built, Pruned({}, removed=["layer2.1"]), None, (1, 8, 8))
    built.load_state_dict(part.state_dict())
    assert torch.equal(built(x), part(x))


def test_a_unit_that_is_not_there_is_one_line():
    with pytest.raises(ValueError, match=r"no unit layer2.9; did you mean layer2"):
        remove(PreResNet(5, 1, depth=20), ["layer2.9"])


def test_a_student_comes_to_say_what_its_teacher_says():
    torch.manual_seed(0)
    teacher, student = nn.Linear(4, 3).eval(), nn.Linear(4, 3)
    inputs = [torch.randn(16, 4) for _ in range(4)]
    steps = distil(student, teacher, lambda _: inputs, 50, torch.optim.SGD(student.parameters(), lr=0.5))
    assert steps == 200
    torch.testing.assert_close(student.weight, teacher.weight, rtol=0, atol=1e-3)
    assert not student.training


def test_an_epoch_knows_its_number():
    student, asked = nn.Linear(2, 2), []
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    distil(student, nn.Linear(2, 2), lambda epoch: asked.append(epoch) or [torch.ones(1, 2)], 3, optimizer)
    assert asked == [0, 1, 2]


def test_one_that_diverges_is_told():
    student = nn.Linear(2, 2)
    nn.init.constant_(student.weight, float("inf"))
    with pytest.raises(FloatingPointError, match="no longer finite"):
        distil(student, nn.Linear(2, 2), lambda _: [torch.ones(1, 2)], 1, torch.optim.SGD(student.parameters(), lr=1))
