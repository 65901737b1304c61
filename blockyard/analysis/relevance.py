"""Layer-wise relevance propagation through whatever a network's forward does.

Bach et al., On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation, PLOS
ONE 2015. What is handed down is G = R / a, the relevance R of each value by the value a itself. Where a layer is
y = W x, relevance at ε → 0 is R_in = x · Wᵀ(R_out / y): of G that is the gradient, and so of every linear step that
nothing here knows, such as a flattening, a mean or the sum of a residual branch and its shortcut. Rules are needed only
where they depart from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from blockyard.analysis.relevance_rules import RULES, Rule, rule_of
from blockyard.blocks.nonlocals.filters import GraphFilterBlock
from blockyard.blocks.nonlocals.operators import Dense, Operator

SAME = 1e-4
"""By how much outputs under the rules may differ from the network's own, in units of the largest."""
RuleName = Literal["epsilon", "alpha_beta", "z_plus"]


@dataclass(frozen=True)
class Relevance:
    """What of a network's output comes from where.

    Attributes:
        output: The network's, ``(B, K)``.
        start: The relevance that was handed down, ``(B, K)``.
        input: That of each value of the input, ``(B, C, *S)``.
        maps: That of each value that the modules asked for gave, by path; of one that ran more than once, the last run.
    """

    output: Tensor
    start: Tensor
    input: Tensor
    maps: dict[str, Tensor]


def relevance(
    network: nn.Module,
    x: Tensor,
    target: Tensor | None = None,
    rule: RuleName = "epsilon",
    *,
    epsilon: float = 1e-6,
    alpha: float = 2.0,
    unit: bool = False,
    at: Iterable[str] = (),
) -> Relevance:
    """Propagate logits back to the input, and to modules on the way.

    Args:
        network: Gives logits ``(B, K)``; it is evaluated, and left as it was.
        x: ``(B, C, *S)``.
        target: Classes ``(B,)``, or a 1 for each class that is asked about, ``(B, K)``; None is the predicted one.
        rule: ``epsilon`` keeps every contribution, ``alpha_beta`` weighs positive ones by α and negative ones by
            α − 1, and ``z_plus`` keeps the positive alone, which is α = 1.
        epsilon: What is added to the size of a denominator, of the size of its layer's largest.
        alpha: α of ``alpha_beta``.
        unit: Whether every sample starts with a relevance of 1, not with its logits.
        at: Paths of modules whose outputs' relevance is wanted.

    Raises:
        ValueError: If the network is no classifier, or does something under the rules that it does not do otherwise;
            one line.
    """
    found = rule_of(rule, epsilon, alpha)
    with _evaluating(network), torch.enable_grad():
        with torch.no_grad():
            expected = network(x)
        x = x.detach().clone().requires_grad_()
        kept: dict[str, tuple[Tensor, Tensor]] = {}
        with _keeping(network, at, kept), Propagating(found):
            output = network(x)
        _insist_on_same(network, output, expected)
        asked = _asked(output.detach(), target)
        start = asked * output.detach()
        if unit:
            start = asked / asked.sum(1, keepdim=True).clamp_min(1)
        given = start / output.detach().where(output != 0, 1)
        sources = [x, *(tensor for tensor, _ in kept.values())]
        grads = torch.autograd.grad(output, sources, given, allow_unused=True)
    values = [x.detach(), *(value for _, value in kept.values())]
    found_maps = [v * g if g is not None else torch.zeros_like(v) for v, g in zip(values, grads, strict=True)]
    return Relevance(expected, start, found_maps[0], dict(zip(kept, found_maps[1:], strict=True)))


class Propagating(TorchFunctionMode):
    """While it is on, the gradient of what is computed is R / a by a rule.

    Args:
        rule: What to do where weights meet values.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch in place of each of its functions."""
        name = getattr(func, "__name__", "")
        how: Callable[..., Any] | None = RULES.get(name)
        if how is None:
            return func(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            return how(self.rule, func, *args, **(kwargs or {}))


def _asked(output: Tensor, target: Tensor | None) -> Tensor:
    """A 1 for each output that is asked about, ``(B, K)``."""
    target = output.argmax(1) if target is None else target
    if target.dim() == 2:
        return target.to(output)
    return nn.functional.one_hot(target, output.shape[1]).to(output)


def _insist_on_same(network: nn.Module, output: Any, expected: Any) -> None:
    if not isinstance(output, Tensor) or output.dim() != 2:
        raise ValueError(f"relevance: {type(network).__name__} gives no logits (B, K), from which it would start")
    if (output - expected).abs().max() > SAME * expected.abs().max().clamp_min(1e-12):
        raise ValueError(f"relevance: {type(network).__name__} does something else at each run, or writes over values")


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation, without weights that learn, and with the affinities of graph blocks as numbers."""
    modes = {module: module.training for module in network.modules()}
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.eval().requires_grad_(False)
    parts: list[Any] = [part for part in network.modules() if getattr(part, "evaluation", None) == "auto"]
    for part in parts:
        part.evaluation = "dense"  # the same, in steps that rules know
    blocks = [module for module in network.modules() if isinstance(module, GraphFilterBlock)]
    handles = [block.affinity.register_forward_hook(_as_numbers) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part in parts:
            part.evaluation = "auto"
        for module, mode in modes.items():
            module.training = mode
        for parameter, want in wanted:
            parameter.requires_grad_(want)


def _as_numbers(_: nn.Module, __: Any, operator: Operator) -> Operator:
    return Dense(operator.dense().detach())


@contextmanager
def _keeping(network: nn.Module, paths: Iterable[str], kept: dict[str, tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Keep what modules give, and its values as they are then: what follows may write over them."""

    def keep(path: str) -> Any:
        def take(_: nn.Module, __: Any, output: Tensor) -> None:
            kept[path] = (output, output.detach().clone())

        return take

    with ExitStack() as hooks:
        for path in paths:
            hooks.callback(network.get_submodule(path).register_forward_hook(keep(path)).remove)
        yield
