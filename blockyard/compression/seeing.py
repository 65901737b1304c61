"""Criteria that look at what the network makes of labelled samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.analysis.relevance import RuleName, relevance
from blockyard.compression.criteria import Criterion, Samples, Scores
from blockyard.compression.groups import Group, Part
from blockyard.plugging import undisturbed


class Taylor(Criterion):
    """How much the loss would change without a channel, to first order: |mean of a ∂L/∂a|, over layers that make it."""

    paper = "Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017"
    needs_samples = True

    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Sum over positions, mean over samples of its size."""

        def look(x: Tensor, target: Tensor, paths: list[str]) -> dict[str, Tensor]:
            kept: dict[str, Tensor] = {}
            with _outputs(network, paths, kept), torch.enable_grad():
                x = x.detach().clone().requires_grad_()
                loss = samples.loss(network(x), target) * len(x)
                grads = torch.autograd.grad(loss, list(kept.values()), allow_unused=True)
            pairs = zip(kept.items(), grads, strict=True)
            return {path: torch.zeros_like(a) if g is None else a.detach() * g for (path, a), g in pairs}

        with undisturbed(network):
            return _summed(network, groups, samples, look, torch.abs)


class Relevance(Criterion):
    """How much of the decisions for the right classes comes through a channel, by layer-wise relevance propagation.

    Every sample has a relevance of 1, which a network without biases keeps from layer to layer.

    Args:
        rule: ``z_plus``, ``alpha_beta`` or ``epsilon``; see :func:`blockyard.analysis.relevance.relevance`.
    """

    paper = "Yeom et al., Pruning by Explaining: A Novel Criterion for Deep Neural Network Pruning, PR 2021"
    needs_samples = True
    comparable = True

    def __init__(self, rule: RuleName = "z_plus") -> None:
        self.rule = rule

    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Sum over positions and layers that make the channel, mean over samples."""

        def look(x: Tensor, target: Tensor, paths: list[str]) -> dict[str, Tensor]:
            return relevance(network, x, target, self.rule, unit=True, at=paths).maps

        return _summed(network, groups, samples, look, lambda summed: summed)


class Activation(Criterion):
    """Mean size of what the layers that read a channel get of it."""

    paper = "Molchanov et al., Pruning Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017"
    needs_samples = True

    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Mean over positions and samples, sum over readers."""
        parts = [(group, part, module) for group in groups for part, module in group.readers(network)]
        sums: dict[str, Tensor] = {}

        def note(path: str, module: nn.Module) -> Any:
            def take(_: nn.Module, given: tuple[Tensor, ...]) -> None:
                seen = _by_channel(given[0].detach().abs().double(), module)
                sums[path] = sums.get(path, 0) + seen.mean(2).sum(0)

            return take

        modules = {part.path: module for _, part, module in parts}
        handles = [module.register_forward_pre_hook(note(path, module)) for path, module in modules.items()]
        try:
            with undisturbed(network):
                for x, _ in samples.batches:
                    network(x)
        finally:
            for handle in handles:
                handle.remove()
        totals = {group.name: torch.zeros(group.size, dtype=torch.float64) for group in groups}
        for group, part, _ in parts:
            totals[group.name] += group.sums(part, sums[part.path].cpu()) / len(samples)
        return [totals[group.name].float() for group in groups]


def _summed(
    network: nn.Module,
    groups: Sequence[Group],
    samples: Samples,
    look: Callable[[Tensor, Tensor, list[str]], dict[str, Tensor]],
    of_sample: Callable[[Tensor], Tensor],
) -> Scores:
    """Means over samples of what is seen at the layers that make each channel, summed over positions before."""
    parts: list[tuple[Group, Part, nn.Module]] = [
        (group, part, module) for group in groups for part, module in group.writers(network)
    ]
    modules = {part.path: module for _, part, module in parts}
    paths = list(modules)
    sums: dict[str, Tensor] = {}
    for x, target in samples.batches:
        for path, seen in look(x, target, paths).items():
            rows = _by_channel(seen.double(), modules[path]).sum(2)
            sums[path] = sums.get(path, 0) + of_sample(rows).sum(0)
    totals = {group.name: torch.zeros(group.size, dtype=torch.float64) for group in groups}
    for group, part, _ in parts:
        if part.path in sums:
            totals[group.name] += group.sums(part, sums[part.path].cpu()) / len(samples)
    return [totals[group.name].float() for group in groups]


def _by_channel(x: Tensor, module: nn.Module) -> Tensor:
    """What a layer takes or gives as ``(B, C, n)``; channels of a linear layer come last."""
    return x.movedim(-1 if isinstance(module, nn.Linear) else 1, 1).unsqueeze(-1).flatten(2)


@contextmanager
def _outputs(network: nn.Module, paths: Sequence[str], kept: dict[str, Tensor]) -> Iterator[None]:
    """Keep what modules give, each a copy, so that nobody writes over it."""

    def keep(path: str) -> Any:
        def take(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            kept[path] = output
            return output.clone()

        return take

    handles = [network.get_submodule(path).register_forward_hook(keep(path)) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
