"""Which experts a position is sent to: a router for each of several tasks, and what is asked of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

_PACE = 0.01
"""How much of :attr:`Router.used` a training step replaces."""


class Choice(NamedTuple):
    """The experts of positions ``(B, N)``.

    Attributes:
        experts: Their numbers ``(B, N, k)``, the one of most weight first.
        weights: Their weights ``(B, N, k)``; those of all E experts add up to 1.
    """

    experts: Tensor
    weights: Tensor


class Router(nn.Module):
    """softmax(x W_t) over E experts, of which a position x gets the k largest; each task t has a W of its own.

    The weights are those of the softmax over all experts: what a position misses of 1 is that of the others. Routing is
    computed in float32 at least, so that autocast chooses as float32 does.

    Args:
        channels: Channels C of a position.
        experts: E.
        top_k: k.
        tasks: Tasks that have a router; see :func:`routed` for which one is asked.

    Raises:
        ValueError: If a number is less than 1, or there are fewer experts than a position gets.
    """

    used: Tensor
    """How often each expert was among the k in training, lately, by task ``(tasks, E)``; zero before it."""

    def __init__(self, channels: int, experts: int, top_k: int, tasks: int) -> None:
        super().__init__()
        if not 1 <= top_k <= experts or tasks < 1:
            raise ValueError(
                f"a router needs 1 ≤ top_k ≤ experts, and tasks ≥ 1: got top_k={top_k}, experts={experts} and "
                f"tasks={tasks}"
            )
        self.weight = nn.Parameter(torch.empty(tasks, experts, channels))
        nn.init.normal_(self.weight, std=channels**-0.5)
        self.register_buffer("used", torch.zeros(tasks, experts))
        self.top_k, self.task = top_k, 0
        self.kept: list[int] | None = None
        self.heard: list[tuple[Tensor, Tensor]] | None = None

    @property
    def tasks(self) -> int:
        """How many tasks have a router."""
        return len(self.weight)

    def forward(self, tokens: Tensor) -> Choice:
        """Choose for positions ``(B, N, C)``."""
        wide = torch.promote_types(tokens.dtype, torch.float32)
        with torch.autocast(tokens.device.type, enabled=False):
            shares = linear(tokens.to(wide), self.weight[self.task].to(wide)).softmax(2)
        left = shares if self.kept is None else shares[:, :, self.kept]
        weights, experts = left.topk(self.top_k, 2)
        if self.heard is not None:
            chosen = torch.zeros_like(left.detach()).scatter(2, experts, 1)
            self.heard.append((_mean(shares), _mean(chosen)))
        return Choice(experts, weights)

    def keep(self, task: int, least: float) -> list[int]:
        """Be the router of one task alone, without the experts that it has used less often than that; in place.

        Returns:
            The experts that are left, of which there are k at least.
        """
        used = self.used[task]
        most = used.topk(self.top_k).indices.tolist()
        kept = [e for e in range(len(used)) if e in most or used[e] >= least]
        self.weight = nn.Parameter(self.weight.detach()[task : task + 1].clone(), self.weight.requires_grad)
        self.used, self.task = used[None].clone(), 0
        self.kept = kept if len(kept) < len(used) else None
        return kept


def routers(network: nn.Module) -> list[Router]:
    """The routers in a network, in its order."""
    return [module for module in network.modules() if isinstance(module, Router)]


@contextmanager
def routed(network: nn.Module, task: int) -> Iterator[list[Tensor]]:
    """Inside, all routers of the network are asked for one task; outside, for the first.

    Args:
        network: The network; what other threads do with it meanwhile is of that task too.
        task: Counted from 0.

    Yields:
        A list that afterwards has, router by router of those that ran, the mean weight of each expert ``(E,)`` over all
        positions, with its gradient. Nothing of it stays on the network.
    """
    found, shares = routers(network), list[Tensor]()
    for router in found:
        router.task, router.heard = task, []
    try:
        yield shares
    finally:
        for router in found:
            heard, router.task, router.heard = router.heard or [], 0, None
            if heard:
                shares.append(torch.stack([share for share, _ in heard]).mean(0))
            if heard and router.training:
                used = torch.stack([chosen for _, chosen in heard]).mean(0)
                fresh = not router.used[task].any()
                router.used[task] = used if fresh else router.used[task].lerp(used.to(router.used), _PACE)


def mutual_information(shares: Tensor) -> Tensor:
    """I(T; E) = Σ P(t, e) log P(t, e) / (P(t) P(e)) of tasks that are as likely as each other, in nats.

    It is 0 where all tasks use the experts alike, and log min(T, E) where no two share one, as far as there are enough.
    To make it large is to use all experts (a large entropy of E), and few for each task (a small one of E given T).

    Args:
        shares: Mean weight of each expert in each task ``(T, E)``; each row adds up to 1.
    """
    joint = shares / len(shares)
    return _negative_entropy(joint) - _negative_entropy(joint.sum(0)) + math.log(len(shares))


def _negative_entropy(shares: Tensor) -> Tensor:
    """Σ p log p, with a gradient where p is 0."""
    return (shares * shares.clamp_min(torch.finfo(shares.dtype).tiny).log()).sum()


def _mean(shares: Tensor) -> Tensor:
    """The mean over positions ``(B, N, E)``; of none, zeros."""
    rows = shares.flatten(0, 1)
    return rows.sum(0) / max(len(rows), 1)
