"""Sending positions to experts is the dense mixture without the terms of no weight."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from blockyard.blocks import ExpertAttention, ExpertMLP
from blockyard.blocks.mixers.experts import MixtureOfExperts, for_task
from blockyard.blocks.mixers.routing import routed
from blockyard.costs import count_macs

KINDS = pytest.mark.parametrize("kind", [ExpertMLP, ExpertAttention])
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


def draw(rank: int = 2, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(batch, 8, *(5, 4, 3)[:rank], generator=generator, dtype=torch.float64)


def made(kind: type[MixtureOfExperts], rank: int = 2, **options) -> MixtureOfExperts:
    torch.manual_seed(0)
    return kind(8, rank, **options).double()


def by_hand(block: MixtureOfExperts, x: Tensor, top_k: int) -> Tensor:
    """Each position by itself, expert by expert, from the formula."""
    rows, result = x.flatten(2).transpose(1, 2), torch.zeros_like(x.flatten(2).transpose(1, 2))
    for sample, tokens in enumerate(rows):
        for n, token in enumerate(tokens):
            shares = (block.router.weight[0] @ token).softmax(0)
            for e in shares.argsort(descending=True)[:top_k].tolist():
                if isinstance(block, ExpertMLP):
                    made = block.experts[e](token)
                else:
                    key, value = (tokens @ block.key_value.weight.t()).chunk(2, 1)
                    scores = key @ (block.queries[e].weight @ token) / key.shape[1] ** 0.5
                    made = block.projections[e].weight @ (scores.softmax(0) @ value)
                result[sample, n] += shares[e] * made
    return result.transpose(1, 2).unflatten(2, x.shape[2:])


@RANKS
@KINDS
def test_a_position_is_what_its_experts_make_of_it_by_their_weights(kind, rank):
    for top_k in (1, 2, 4):
        block, x = made(kind, rank, top_k=top_k), draw(rank)
        torch.testing.assert_close(block(x), by_hand(block, x, top_k))


@KINDS
def test_with_all_experts_sending_equals_the_dense_mixture_and_so_do_its_gradients(kind):
    block, x = made(kind, top_k=4), draw().flatten(2).transpose(1, 2).requires_grad_()
    parts = [x, *block.parameters()]
    choice = block.router(x)
    assert choice.weights.sum(2).allclose(torch.ones_like(choice.weights[..., 0]))
    found = [mix(x, choice) for mix in (block.of_all, block.of_chosen)]
    torch.testing.assert_close(*found)
    slopes = [torch.autograd.grad(y.square().sum(), parts, retain_graph=True) for y in found]
    for dense, sent in zip(*slopes, strict=True):
        torch.testing.assert_close(sent, dense)


@KINDS
def test_one_graph_of_all_experts_gives_what_sending_gives(kind):
    """What a compiler sees, with weights of zero for those that were not chosen."""
    block, x = made(kind), draw().flatten(2).transpose(1, 2)
    choice = block.router(x)
    torch.testing.assert_close(block.of_all(x, choice), block.of_chosen(x, choice))


@KINDS
def test_only_chosen_experts_are_computed(kind):
    """Of 12 experts, 2 cost what 2 of 4 do; the router has 8 more rows of 8 weights for each of 20 positions."""
    few, many = (count_macs(kind(8, experts=experts), (8, 5, 4)) for experts in (4, 12))
    assert many - few == 20 * 8 * 8


@KINDS
def test_the_gradient_of_a_task_leaves_experts_and_routers_alone_that_it_does_not_choose(kind):
    block = made(kind, experts=6, top_k=1, tasks=2)
    with torch.no_grad():
        block.router.weight[1] = 0
        block.router.weight[1, :2, 0] = 100.0  # positive or negative in its first channel: expert 0 or the least
        block.router.weight[1, 1] *= -1
    with routed(block, 1):
        block(draw()).square().sum().backward()
    for name in block.of_experts:
        moved = [any(bool(p.grad.any()) for p in expert.parameters()) for expert in block.get_submodule(name)]
        assert moved == [True, True, False, False, False, False]
    assert block.router.weight.grad[1].any()
    assert not block.router.weight.grad[0].any()


@KINDS
def test_what_is_left_for_one_task_answers_as_the_whole_does(kind):
    block, x = made(kind, experts=6, tasks=2), draw()
    block.router.used[1] = torch.tensor([0.5, 0.0, 0.8, 0.02, 0.6, 0.0])
    with torch.no_grad():
        block.router.weight[1] *= 0.1
        block.router.weight[1, [0, 2, 4]] += 5 * torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    with routed(block.eval(), 1):
        whole, choice = block(x), block.router(x.flatten(2).transpose(1, 2))
    kept = nn.Sequential(copy.deepcopy(block))
    for_task(kept, 1, least=0.05)
    assert sum(p.numel() for p in kept.parameters()) < 0.7 * sum(p.numel() for p in block.parameters())
    assert kept[0].router.kept == [0, 2, 4]
    known = torch.isin(choice.experts, torch.tensor([0, 2, 4])).all(2)
    assert 0.5 < known.double().mean() < 1
    torch.testing.assert_close(kept(x).flatten(2).mT[known], whole.flatten(2).mT[known])


@KINDS
def test_without_a_threshold_all_experts_stay_and_so_do_outputs(kind):
    block, x = made(kind, tasks=2), draw()
    with routed(block.eval(), 1):
        whole = block(x)
    for_task(block, 1)
    assert torch.equal(block(x), whole)
    assert block.router.tasks == 1


def test_as_many_experts_stay_as_a_position_is_sent_to():
    block = made(ExpertMLP, experts=4, top_k=3)
    block.router.used[0] = torch.tensor([0.1, 0.3, 0.2, 0.4])
    for_task(block, 0, least=1.0)
    assert block.router.kept == [1, 2, 3]


def test_what_makes_no_mixture_is_refused():
    with pytest.raises(ValueError, match="1 ≤ top_k ≤ experts, and tasks ≥ 1: got top_k=5, experts=4 and tasks=1"):
        ExpertMLP(8, top_k=5)
    with pytest.raises(ValueError, match="got top_k=2, experts=4 and tasks=0"):
        ExpertAttention(8, tasks=0)
    with pytest.raises(ValueError, match="head_width must be at least 1, got 0"):
        ExpertAttention(8, head_width=0)
    with pytest.raises(ValueError, match="least=2: needed is a share from 0 to 1"):
        for_task(made(ExpertMLP), 0, least=2)
    with pytest.raises(ValueError, match="after a training for several tasks"):
        for_task(made(ExpertMLP), 0, least=0.1)
