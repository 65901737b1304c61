"""Criteria by their formulas, what they say of dead channels, and blends of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.backbones import PreResNet
from blockyard.compression.blend import Blend, Choice, blend, clusters
from blockyard.compression.criteria import FPGM, L1, L2, BatchNormScale, Random, Samples
from blockyard.compression.seeing import Activation, Relevance, Taylor
from blockyard.compression.surgery import measured, prunable
from blockyard.compression.target import chosen, cost, fewest, order

pytest.importorskip("torch_pruning")
EVERY = [L1(), L2(), FPGM(), BatchNormScale(), Taylor(), Activation(), Relevance(), Random()]


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    network = PreResNet(5, 1, depth=8).eval()
    groups = prunable(network, torch.rand(2, 1, 8, 8))
    x, target = torch.rand(8, 1, 8, 8), torch.arange(8) % 5
    return network, groups, Samples([(x[:4], target[:4]), (x[4:], target[4:])])


def inner(groups):
    return next(group for group in groups if group.name == "layer1.0.conv1")


@pytest.mark.parametrize("criterion", EVERY, ids=lambda one: type(one).__name__)
def test_one_finite_score_a_channel_and_no_trace(criterion, case):
    network, groups, samples = case
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scores = criterion.scores(network, groups, samples)
    assert [len(one) for one in scores] == [group.size for group in groups]
    assert all(one.isfinite().all() for one in scores)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    again = criterion.scores(network, groups, samples)
    assert all(torch.equal(a, b) for a, b in zip(scores, again, strict=True))


def test_weights_by_hand(case):
    network, groups, samples = case
    group, weight = inner(groups), network.layer1[0].conv1.weight.detach().flatten(1)
    found = {type(c).__name__: c.scores(network, [group], samples)[0] for c in (L1(), L2(), FPGM(), BatchNormScale())}
    torch.testing.assert_close(found["L1"], weight.abs().sum(1))
    torch.testing.assert_close(found["L2"], weight.square().sum(1).sqrt())
    distances = torch.stack([torch.stack([(a - b).norm() for b in weight]).sum() for a in weight])
    torch.testing.assert_close(found["FPGM"], distances)
    assert torch.equal(found["BatchNormScale"], network.layer1[0].bn2.weight.detach().abs())


def test_all_layers_that_are_added_up_count(case):
    network, groups, samples = case
    group = next(group for group in groups if group.name == "layer1.0.conv2")
    both = network.conv1.weight.flatten(1).abs().sum(1) + network.layer1[0].conv2.weight.flatten(1).abs().sum(1)
    torch.testing.assert_close(L1().scores(network, [group], samples)[0], both.detach())


def test_taylor_is_the_gradient_by_a_factor_on_each_channel(case):
    network, groups, samples = case
    (found,) = Taylor().scores(network, [inner(groups)], samples)
    seen = []
    for x, target in samples.batches:
        for one, label in zip(x, target, strict=True):
            factor = torch.ones(16, requires_grad=True)
            hook = network.layer1[0].conv1.register_forward_hook(lambda _, __, y, f=factor: y * f.view(-1, 1, 1))
            loss = nn.functional.cross_entropy(network(one[None]), label[None])
            hook.remove()
            seen.append(torch.autograd.grad(loss, factor)[0].abs())
    torch.testing.assert_close(found, torch.stack(seen).mean(0), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("criterion", [L1(), L2(), Taylor(), Relevance(), Relevance("epsilon")])
def test_a_dead_filter_is_the_first_to_go(criterion):
    torch.manual_seed(0)
    network, x = PreResNet(5, 1, depth=8).eval(), torch.rand(4, 1, 8, 8)
    network.layer1[0].conv1.weight.data[7] = 0
    groups = prunable(network, x)
    (scores,) = criterion.scores(network, [inner(groups)], Samples([(x, torch.arange(4))]))
    assert scores[7] == 0


def test_a_network_without_norms_has_no_scales():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    groups = prunable(network, torch.rand(2, 1, 4, 4))
    with pytest.raises(ValueError, match="BatchNormScale: no batch norm scales the channels of 0"):
        BatchNormScale().scores(network, groups, Samples())
    (found,) = Activation().scores(network, groups, Samples([(x := torch.rand(3, 1, 4, 4), torch.zeros(3).long())]))
    torch.testing.assert_close(found, network[:2](x).flatten(2).sum((0, 2)).detach() / 3)


def test_identical_criteria_fall_together():
    rows = torch.rand(2, 20)
    table = torch.stack([rows[0], rows[1], rows[0], 3 * rows[0] + 1, -rows[0]])
    assert clusters(table) == [[0, 2, 3], [1], [4]]


def test_a_blend_of_one_is_that_one(case):
    network, groups, samples = case
    table = torch.rand(3, 10)
    assert torch.equal(blend(table, Choice([0, 2], [0.0, 1.0])), table[2])
    alone = Blend([L1()], population=2, generations=1)
    for found, expected in zip(
        alone.scores(network, groups, samples), L1().scores(network, groups, samples), strict=True
    ):
        torch.testing.assert_close(found, expected / expected.mean())


def test_evolution_is_never_worse_than_the_best_criterion_on_what_it_is_judged_by(case):
    network, groups, samples = case
    blended = Blend([L1(), Random(), Taylor()], population=4, generations=2)
    blended.scores(network, groups, samples)
    held_out = Samples([(x[1::2], target[1::2]) for x, target in samples.batches])
    seen = Samples([(x[::2], target[::2]) for x, target in samples.batches])
    tables = blended._tables(network, groups, seen)
    won = blended._loss(network, groups, tables, [blended.choices[group.name] for group in groups], held_out)
    for number in range(3):
        alone = [Choice([number], [1.0]) for _ in groups]
        assert won <= blended._loss(network, groups, tables, alone, held_out)


@pytest.mark.parametrize("measure", ["parameters", "macs"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_no_more_goes_than_the_target_asks_for(case, measure, scope):
    network, groups, samples = case
    example = torch.rand(2, 1, 8, 8)
    ordered = order(L1(), L1().scores(network, groups, samples), groups, scope)
    most = 0.6 * cost(network, measure, (1, 8, 8))
    gone = fewest(network, groups, ordered, example, measure, most)
    count = sum(map(len, gone.values()))
    assert gone == chosen(ordered, count)
    assert cost(measured(network, groups, gone, example), measure, (1, 8, 8)) <= most
    assert cost(measured(network, groups, chosen(ordered, count - 1), example), measure, (1, 8, 8)) > most
    if scope == "layer":
        shares = [len(gone[group.name]) / group.size for group in groups]
        assert max(shares) - min(shares) < 0.1


def test_what_can_not_be_reached_is_refused(case):
    network, groups, samples = case
    ordered = order(L1(), L1().scores(network, groups, samples), groups, "global")
    with pytest.raises(ValueError, match="can't be reached"):
        fewest(network, groups, ordered, torch.rand(2, 1, 8, 8), "parameters", 100)
