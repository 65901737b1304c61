"""What relevance by value, G = R / a, becomes on its way down through each kind of step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Function = Callable[..., Any]
Linear = Callable[[Tensor, Tensor], Tensor]
"""What a linear layer makes of values and weights."""


@dataclass(frozen=True)
class Rule:
    """How contributions share a relevance.

    Attributes:
        epsilon: Added to the size of a denominator, in units of the largest of its layer.
        alpha: What positive contributions weigh, the negative α − 1 less; None is all alike, by their sum.
    """

    epsilon: float = 1e-6
    alpha: float | None = None


def rule_of(name: str, epsilon: float, alpha: float) -> Rule:
    """The rule that a name means.

    Raises:
        ValueError: If there is none of that name, or a number makes no sense; one line.
    """
    if epsilon < 0 or alpha < 1:
        raise ValueError(f"relevance: epsilon must be at least 0 and alpha at least 1, got {epsilon} and {alpha}")
    rules = {"epsilon": Rule(epsilon), "alpha_beta": Rule(epsilon, alpha), "z_plus": Rule(epsilon, 1.0)}
    if name not in rules:
        raise ValueError(f"relevance: no rule {name}; {', '.join(rules)}")
    return rules[name]


def _over(relevance: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """R / z with a denominator that is kept from 0; nothing where z is."""
    size = epsilon * z.abs().max() if z.numel() else 0.0
    stable = z + torch.where(z < 0, -size, size)
    return torch.where(z == 0, torch.zeros_like(z), relevance / torch.where(z == 0, 1.0, stable))


class _Layer(torch.autograd.Function):
    """A layer y = W x + b; the bias takes its share of relevance and keeps it."""

    @staticmethod
    def forward(ctx: Any, rule: Rule, linear: Linear, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = linear(x, weight)
        if bias is not None:
            y = y + _along(bias, y, linear)
        ctx.rule, ctx.linear = rule, linear
        ctx.save_for_backward(x, weight, bias, y.clone())  # what a network is given it may write over
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, bias, y = ctx.saved_tensors
        rule, relevance = ctx.rule, y * grad
        if rule.alpha is None:
            down = _transposed(ctx.linear, x, weight, _over(relevance, y, rule.epsilon))
            return None, None, down, None, None
        return None, None, _by_signs(rule, ctx.linear, x, weight, bias, relevance), None, None


def _by_signs(rule: Rule, linear: Linear, x: Tensor, weight: Tensor, bias: Tensor | None, relevance: Tensor) -> Tensor:
    """Positive and negative contributions apart; where there is one kind alone, it takes all that there is."""
    assert rule.alpha is not None
    halves = [(x.clamp(min=0), x.clamp(max=0)), (weight.clamp(min=0), weight.clamp(max=0))]
    (up, down), (plus, minus) = halves
    positive = linear(up, plus) + linear(down, minus)
    negative = linear(up, minus) + linear(down, plus)
    if bias is not None:
        positive = positive + _along(bias.clamp(min=0), positive, linear)
        negative = negative + _along(bias.clamp(max=0), negative, linear)
    for_positive = torch.where(negative == 0, 1.0, rule.alpha) * relevance
    for_negative = torch.where(positive == 0, 1.0, 1 - rule.alpha) * relevance
    p, n = _over(for_positive, positive, rule.epsilon), _over(for_negative, negative, rule.epsilon)
    above = _transposed(linear, x, plus, p) + _transposed(linear, x, minus, n)
    below = _transposed(linear, x, minus, p) + _transposed(linear, x, plus, n)
    return torch.where(x > 0, above, below)


def _transposed(linear: Linear, like: Tensor, weight: Tensor, y: Tensor) -> Tensor:
    """Wᵀ y."""
    with torch.enable_grad():
        x = torch.zeros_like(like).requires_grad_()
        (found,) = torch.autograd.grad(linear(x, weight), x, y)
    return found


def _along(bias: Tensor, y: Tensor, linear: Linear) -> Tensor:
    """A bias ``(C,)`` as it meets a map, channels second, or vectors, channels last."""
    last = getattr(linear, "last", False)
    return bias if last else bias.view(-1, *(1,) * (y.dim() - 2))


class _Step:
    """A convolution or a product, its options settled."""

    def __init__(self, function: Function, options: dict[str, Any], last: bool) -> None:
        self.function, self.options, self.last = function, options, last

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        found: Tensor = self.function(x, weight, None, **self.options)
        return found


def _convolution(
    rule: Rule, function: Function, input: Tensor, weight: Tensor, bias: Any = None, *args: Any, **options: Any
) -> Any:
    names = ["stride", "padding", "dilation", "groups"]
    if "transpose" in function.__name__:
        names[2:] = ["output_padding", "groups", "dilation"]
    settled = {**dict(zip(names, args, strict=False)), **options}
    return _Layer.apply(rule, _Step(function, settled, last=False), input, weight, bias)


def _product(rule: Rule, function: Function, input: Tensor, weight: Tensor, bias: Any = None) -> Any:
    return _Layer.apply(rule, _Step(function, {}, last=True), input, weight, bias)


class _Norm(torch.autograd.Function):
    """A step y = s x + t of each value: by their sizes, what came from the value and what from the shift."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        y = x * scale + shift
        ctx.save_for_backward(x, scale, shift, y.clone())
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, scale, shift, y = ctx.saved_tensors
        whole = (x * scale).abs() + shift.abs()
        down = scale.abs() * x.sign() * y * grad / torch.where(whole == 0, 1.0, whole)
        return torch.where(whole == 0, torch.zeros_like(down), down), None, None


def _batch_norm(
    rule: Rule,
    function: Function,
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if running_mean is None or training:
        raise ValueError("relevance: a batch norm without running statistics mixes the samples of a batch")
    scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
    shift = -running_mean * scale + (0 if bias is None else bias)
    shape = (-1, *(1,) * (input.dim() - 2))
    return _Norm.apply(input, scale.view(shape), shift.view(shape))


class _Sum(torch.autograd.Function):
    """A sum of two maps, its parts apart by their signs, as the contributions of a layer with weights of 1."""

    @staticmethod
    def forward(ctx: Any, rule: Rule, a: Tensor, b: Tensor) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward(a.clone(), b.clone())
        return a + b

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        a, b = ctx.saved_tensors
        relevance, alpha = (a + b) * grad, ctx.rule.alpha
        positive, negative = a.clamp(min=0) + b.clamp(min=0), a.clamp(max=0) + b.clamp(max=0)
        p = _over(torch.where(negative == 0, 1.0, alpha) * relevance, positive, ctx.rule.epsilon)
        n = _over(torch.where(positive == 0, 1.0, 1 - alpha) * relevance, negative, ctx.rule.epsilon)
        return None, torch.where(a > 0, p, n), torch.where(b > 0, p, n)


def _add(rule: Rule, function: Function, a: Any, b: Any, *args: Any, **options: Any) -> Any:
    maps = isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape
    if rule.alpha is None or not maps or args or options or not (a.requires_grad or b.requires_grad):
        return function(a, b, *args, **options)
    return _Sum.apply(rule, a, b)


class _Scaled(torch.autograd.Function):
    """A function of each value that is 0 at 0: all relevance of y = f(x) is x's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(torch.where(x == 0, torch.zeros_like(x), y / torch.where(x == 0, 1.0, x)))
        return y.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        (factor,) = ctx.saved_tensors
        return factor * grad, None


def _activate(rule: Rule, function: Function, input: Tensor, *args: Any, **options: Any) -> Any:
    with torch.no_grad():
        y = function(input.detach().clone(), *args, **options)
    return _Scaled.apply(input, y)


def _weigh(rule: Rule, function: Function, *args: Any, **options: Any) -> Any:
    """A gate: what it lets through has the relevance, not the gate."""
    return function(*args, **options).detach()


def _layer_norm(
    rule: Rule,
    function: Function,
    input: Tensor,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """Its deviation is held as a number."""
    axes = tuple(range(-len(normalized_shape), 0))
    scale = (input.detach().var(axes, correction=0, keepdim=True) + eps).rsqrt()
    y = (input - input.mean(axes, keepdim=True)) * scale
    y = y if weight is None else y * weight
    return y if bias is None else _Norm.apply(y, torch.ones_like(bias), bias)


def _attend(rule: Rule, function: Function, query: Tensor, key: Tensor, value: Tensor, *args: Any, **more: Any) -> Any:
    """Its weights are held as numbers."""
    return function(query.detach(), key.detach(), value, *args, **more)


CONVOLUTIONS = tuple(f"conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3))
ACTIVATIONS = (
    *("relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "elu", "elu_", "celu", "selu", "relu6", "gelu", "silu"),
    *("mish", "hardswish", "hardtanh", "hardtanh_", "tanh", "softsign"),
)
"""Those that are 0 at 0."""
RULES: dict[str, Function] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(ACTIVATIONS, _activate),
    **dict.fromkeys(("sigmoid", "sigmoid_", "hardsigmoid", "softmax"), _weigh),
    **dict.fromkeys(("add", "__add__", "__radd__", "add_", "__iadd__"), _add),
    "linear": _product,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "scaled_dot_product_attention": _attend,
}
"""By the names that torch calls its functions by. Poolings, means, flattening and sums at ε are as their gradients."""
