"""Mixtures of experts: of MLPs, and of heads of attention, with a router for each task.

Chen et al., Efficient General-Purpose Modular Vision Model via Multi-Task Heterogeneous Training, 2023; the heads are
those of Zhang et al., Mixture of Attention Heads, EMNLP 2022.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot
from blockyard.blocks.mixers.routing import Choice, Router
from blockyard.blocks.mixers.self_attention import attend


class MixtureOfExperts(Block):
    """Y = Σ w_e E_e(x) over the k experts that a position's router gives most weight.

    Only these are computed, each for its positions together. What is compiled or exported is one graph for any routing:
    it computes all of them, and multiplies those that were not chosen by zero.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        experts: How many there are, E.
        top_k: How many a position is sent to, k.
        tasks: Tasks that have a router of their own; one is asked at a time.

    Raises:
        ValueError: If the numbers make no router.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = (
        "Chen et al., Efficient General-Purpose Modular Vision Model via Multi-Task Heterogeneous Training, arXiv 2023"
    )
    of_experts: ClassVar[tuple[str, ...]]
    """Names of the lists that have an entry for each expert."""

    def __init__(self, channels: int, spatial_dims: int, experts: int, top_k: int, tasks: int) -> None:
        super().__init__(channels, spatial_dims)
        self.router = Router(channels, experts, top_k, tasks)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        tokens = x.flatten(2).transpose(1, 2)
        choice = self.router(tokens)
        lists = [self.get_submodule(name) for name in self.of_experts]
        whole = choice.experts.shape[2] == len(list(lists[0].children()))
        together = whole or torch.compiler.is_compiling() or x.is_meta
        mixed = self.of_all(tokens, choice) if together else self.of_chosen(tokens, choice)
        return mixed.to(x.dtype).transpose(1, 2).unflatten(2, x.shape[2:])

    @abstractmethod
    def of_all(self, tokens: Tensor, choice: Choice) -> Tensor:
        """What positions ``(B, N, C)`` become, by all experts; those not chosen have no weight."""

    @abstractmethod
    def of_chosen(self, tokens: Tensor, choice: Choice) -> Tensor:
        """The same, without computing the experts that were not chosen."""

    def keep(self, task: int, least: float) -> None:
        """Become what one task needs; see :func:`for_task`."""
        kept = self.router.keep(task, least)
        for name in self.of_experts:
            experts = list(self.get_submodule(name).children())
            setattr(self, name, nn.ModuleList(experts[e] for e in kept))


class ExpertMLP(MixtureOfExperts):
    """Y = Σ w_e V_e gelu(U_e x) over the k experts of most weight w = softmax(x W_t) in task t; mixes channels.

    With E = 4, k = 2 and a ratio of 2, a position costs what it does in an MLP of ratio 4, whose parameters are half as
    many. With k = E it is the dense mixture.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        experts: How many there are, E.
        top_k: How many a position is sent to, k.
        ratio: Hidden channels of an expert / C.
        tasks: Tasks that have a router of their own; one is asked at a time.

    Raises:
        ValueError: If the numbers make no router.
    """

    of_experts: ClassVar[tuple[str, ...]] = ("experts",)

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        experts: int = 4,
        top_k: int = 2,
        ratio: float = 2.0,
        tasks: int = 1,
    ) -> None:
        super().__init__(channels, spatial_dims, experts, top_k, tasks)
        hidden = max(1, int(ratio * channels))
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels)) for _ in range(experts)
        )

    def of_all(self, tokens: Tensor, choice: Choice) -> Tensor:
        """What positions ``(B, N, C)`` become."""
        weights = _spread(choice, len(self.experts))
        return _sum(expert(tokens) * weights[..., e : e + 1] for e, expert in enumerate(self.experts))

    def of_chosen(self, tokens: Tensor, choice: Choice) -> Tensor:
        """What positions ``(B, N, C)`` become."""
        sent = tokens[:, :, None].expand(-1, -1, choice.experts.shape[2], -1)
        mixed = _Dispatch(choice, len(self.experts)).run(self.experts, sent)
        return (mixed * choice.weights[..., None]).sum(2)


class ExpertAttention(MixtureOfExperts):
    """Y = Σ w_e O_e softmax(Q_e x kᵀ / √d) v over the k experts of most weight w = softmax(x W_t) in task t.

    An expert is a head: it has queries and a projection of its own, and the keys and values of d channels are all
    experts'. With k = E it is the dense mixture. No matrix of positions is built where torch's fused attention runs.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        head_width: d; with fewer channels, as many as there are.
        experts: How many there are, E.
        top_k: How many a position is sent to, k.
        tasks: Tasks that have a router of their own; one is asked at a time.

    Raises:
        ValueError: If the numbers make no router, or ``head_width`` is not positive.
    """

    of_experts: ClassVar[tuple[str, ...]] = ("queries", "projections")

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        head_width: int = 32,
        experts: int = 4,
        top_k: int = 2,
        tasks: int = 1,
    ) -> None:
        super().__init__(channels, spatial_dims, experts, top_k, tasks)
        if head_width < 1:
            raise ValueError(f"ExpertAttention: head_width must be at least 1, got {head_width}")
        width = min(head_width, channels)
        self.key_value = nn.Linear(channels, 2 * width, bias=False)
        self.queries = nn.ModuleList(nn.Linear(channels, width, bias=False) for _ in range(experts))
        self.projections = nn.ModuleList(nn.Linear(width, channels, bias=False) for _ in range(experts))

    def of_all(self, tokens: Tensor, choice: Choice) -> Tensor:
        """What positions ``(B, N, C)`` become."""
        key, value = self.key_value(tokens)[:, None].chunk(2, 3)
        weights = _spread(choice, len(self.queries))
        pairs = enumerate(zip(self.queries, self.projections, strict=True))
        return _sum(
            project(attend(query(tokens)[:, None], key, value)[:, 0]) * weights[..., e : e + 1]
            for e, (query, project) in pairs
        )

    def of_chosen(self, tokens: Tensor, choice: Choice) -> Tensor:
        """What positions ``(B, N, C)`` become; the queries of all their experts stand in one row."""
        key, value = self.key_value(tokens)[:, None].chunk(2, 3)
        sent = tokens[:, :, None].expand(-1, -1, choice.experts.shape[2], -1)
        dispatch = _Dispatch(choice, len(self.queries))
        queries = dispatch.run(self.queries, sent)
        heads = attend(queries.flatten(1, 2)[:, None], key, value)[:, 0].unflatten(1, queries.shape[1:3])
        return (dispatch.run(self.projections, heads) * choice.weights[..., None]).sum(2)


def for_task(network: nn.Module, task: int, least: float = 0.0) -> None:
    """Leave of every mixture in a network what one task needs, in place.

    Where none of the dropped experts would have been chosen, the outputs are those of the whole network asked for that
    task, up to rounding: the weights of the experts that are left stay what they were.

    Args:
        network: A network that was trained for several tasks at once.
        task: Which of them, counted from 0.
        least: Experts that its router sent less than this share of the positions to, in the last training steps, are
            dropped; but k stay.

    Raises:
        ValueError: If the share is not from 0 to 1, or nothing was trained that could tell.
    """
    mixtures = [module for module in network.modules() if isinstance(module, MixtureOfExperts)]
    if not 0 <= least <= 1:
        raise ValueError(f"experts used less often than least={least}: needed is a share from 0 to 1")
    if least and not all(bool(mixture.router.used[task].any()) for mixture in mixtures):
        raise ValueError("which experts a task uses is known after a training for several tasks: there was none")
    for mixture in mixtures:
        mixture.keep(task, least)


class _Dispatch:
    """Sends rows to experts, all of one expert's at once; the order of sums does not depend on the machine."""

    def __init__(self, choice: Choice, experts: int) -> None:
        numbers = choice.experts.flatten()
        self.order = numbers.argsort(stable=True)
        self.back = self.order.argsort()
        self.counts = numbers.bincount(minlength=experts).tolist()

    def run(self, experts: nn.ModuleList, sent: Tensor) -> Tensor:
        """What the experts make of rows ``(B, N, k, c)``; each runs, if on nothing, so that all have a gradient."""
        parts = sent.flatten(0, 2)[self.order].split(self.counts)
        made = torch.cat([expert(part) for expert, part in zip(experts, parts, strict=True)])
        return made[self.back].unflatten(0, sent.shape[:3])


def _spread(choice: Choice, experts: int) -> Tensor:
    """The weights of all experts ``(B, N, E)``, zero where one was not chosen."""
    none = choice.weights.new_zeros(*choice.weights.shape[:2], experts)
    return none.scatter(2, choice.experts, choice.weights)


def _sum(terms: Iterable[Tensor]) -> Tensor:
    first, *others = terms
    for term in others:
        first = first + term
    return first
