"""What routers of several tasks say of each other: mutual information, and what passes while they are listened to."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from blockyard.blocks import ExpertMLP
from blockyard.blocks.mixers.routing import mutual_information, routed, routers


def test_tasks_that_use_experts_alike_say_nothing_of_them():
    shares = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).expand(4, -1)
    assert mutual_information(shares).abs() < 1e-12
    assert mutual_information(shares[:1]).abs() < 1e-12


@pytest.mark.parametrize("tasks", [2, 3, 4])
def test_tasks_that_share_no_expert_say_all(tasks: int):
    """log T, however each spreads over its own; with one expert for two tasks, as much less as log 2 weighs."""
    own = torch.block_diag(*[torch.tensor([[0.25, 0.75]], dtype=torch.float64)] * tasks)
    assert mutual_information(own) == pytest.approx(math.log(tasks))
    shared = torch.cat([own, own[:1]])
    assert mutual_information(shared) == pytest.approx(math.log(tasks + 1) - 2 / (tasks + 1) * math.log(2))


def test_it_is_what_entropies_say_and_never_negative():
    for seed in range(5):
        shares = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(1)
        of_experts = torch.distributions.Categorical(probs=shares.mean(0)).entropy()
        given_task = torch.distributions.Categorical(probs=shares).entropy().mean()
        assert mutual_information(shares) == pytest.approx(float(of_experts - given_task))
        assert 0 <= mutual_information(shares) <= math.log(3)


def test_following_it_makes_two_tasks_part():
    torch.manual_seed(0)
    logits = (0.01 * torch.randn(2, 4, dtype=torch.float64)).requires_grad_()
    for _ in range(300):
        (slope,) = torch.autograd.grad(mutual_information(logits.softmax(1)), logits)
        logits.data += 5 * slope
    assert mutual_information(logits.softmax(1)) > 0.95 * math.log(2)


def test_the_gradient_is_finite_where_an_expert_has_no_weight():
    logits = torch.tensor([[0.0, -500.0], [0.0, 1.0]], requires_grad=True)
    mutual_information(logits.softmax(1)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_while_it_is_listened_to_a_router_is_of_that_task_and_says_its_mean_shares():
    block, x = ExpertMLP(8, 1, experts=3, tasks=2), torch.randn(2, 8, 5)
    with routed(block, 1) as shares:
        block(x)
        block(2 * x)
    (share,) = shares
    tokens = torch.cat([x, 2 * x]).transpose(1, 2)
    torch.testing.assert_close(share, (tokens @ block.router.weight[1].t()).softmax(2).flatten(0, 1).mean(0))
    assert share.requires_grad
    assert (block.router.task, block.router.heard) == (0, None)
    copy.deepcopy(block)  # which a tensor with a graph on it would not let through


def test_use_is_counted_in_training_and_of_its_task_alone():
    block, x = ExpertMLP(8, 1, experts=3, top_k=2, tasks=2), torch.randn(4, 8, 50)
    with routed(block.eval(), 0):
        block(x)
    block.train()(x)
    assert not block.router.used.any(), "neither evaluation nor what nobody listens to counts"
    with routed(block, 1):
        block(x)
    first = block.router.used.clone()
    assert not first[0].any()
    assert first[1].sum() == pytest.approx(2)
    with routed(block, 1):
        block(-x)
    assert 0 < (block.router.used - first).abs().max() <= 0.01


def test_an_error_inside_leaves_routers_as_they_were():
    block = ExpertMLP(8, tasks=2)
    with pytest.raises(RuntimeError, match="inside"), routed(block, 1):
        raise RuntimeError("inside")
    assert [(router.task, router.heard) for router in routers(block)] == [(0, None)]


def test_without_a_sample_nothing_is_counted_and_shares_are_zero():
    block = ExpertMLP(8, 1)
    with routed(block, 0) as shares:
        block(torch.zeros(0, 8, 5))
    assert torch.equal(shares[0], torch.zeros(4))
    assert not block.router.used.any()
