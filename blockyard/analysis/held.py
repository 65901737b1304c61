"""Nonlinear functions, held at what they did to one input: each as it is first, and again as the linear map it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]


class Held(NamedTuple):
    """How a function is held.

    Attributes:
        first: Called with the function and its arguments; gives what that returns, and what is to be kept of it.
        again: Called with what was kept and other arguments; gives what the linear map makes of these.
    """

    first: Callable[..., tuple[Any, Any]]
    again: Callable[..., Any]


class Holding(TorchFunctionMode):
    """While it is on, nonlinear functions are noted in their order, or are what was noted of them.

    Args:
        kept: What was noted: empty at first, and filled.
        again: Whether functions are to be what they were.
    """

    def __init__(self, kept: list[Any], again: bool) -> None:
        super().__init__()
        self.kept, self.again, self.at = kept, again, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch in place of each of its functions."""
        held = HELD.get(getattr(func, "__name__", ""))
        if held is None:
            return func(*args, **(kwargs or {}))
        if not self.again:
            result, kept = held.first(func, *args, **(kwargs or {}))
            self.kept.append(kept)
            return result
        self.at += 1
        return held.again(self.kept[self.at - 1], *args, **(kwargs or {}))

    def hold(self, _: Any, __: Any, output: Any) -> Any:
        """Note what a module gives, or give what was noted: a forward hook."""
        if not self.again:
            self.kept.append(output)
            return output
        self.at += 1
        return self.kept[self.at - 1]


def _activate(function: Function, x: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Any]:
    """As a factor of each value; what is zero gives nothing."""
    before = x.detach().clone()
    y = function(x, *args, **options)
    return y, ((y / before).where(before != 0, 0), y is x)


def _scale(kept: tuple[Tensor, bool], x: Tensor, *_: Any, **__: Any) -> Tensor:
    factor, in_place = kept
    return x.mul_(factor) if in_place else x * factor


def _weigh(function: Function, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    y = function(*args, **options)
    return y, y.clone()  # what a function gives may be written over


def _as_it_was(kept: Tensor, *_: Any, **__: Any) -> Tensor:
    return kept.clone()


def _choose(function: Function, x: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """As the position that each maximum came from."""
    return tuple(getattr(F, function.__name__)(x, *args, **{**options, "return_indices": True}))


def _take(places: Tensor, x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x.flatten(2).gather(2, places.flatten(2)).view_as(places)


def _norm_layer(function: Function, x: Tensor, shape: Any, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """As a division by the deviation of each position."""
    axes, eps = tuple(range(-len(shape), 0)), _eps(2, args, options)
    return function(x, shape, *args, **options), (x.var(axes, correction=0, keepdim=True) + eps).rsqrt()


def _divide_layer(
    kept: Tensor, x: Tensor, shape: Any, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> Tensor:
    y = (x - x.mean(tuple(range(-len(shape), 0)), keepdim=True)) * kept
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _norm_groups(function: Function, x: Tensor, groups: int, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    parts = x.reshape(len(x), groups, -1)
    kept = (parts.var(2, correction=0, keepdim=True) + _eps(2, args, options)).rsqrt()
    return function(x, groups, *args, **options), kept


def _divide_groups(
    kept: Tensor, x: Tensor, groups: int, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> Tensor:
    parts = x.reshape(len(x), groups, -1)
    y = ((parts - parts.mean(2, keepdim=True)) * kept).view_as(x)
    shape = (1, -1, *(1,) * (x.dim() - 2))
    y = y if weight is None else y * weight.view(shape)
    return y if bias is None else y + bias.view(shape)


def _eps(position: int, args: Any, options: dict[str, Any]) -> float:
    return float(options.get("eps", args[position] if len(args) > position else 1e-5))


def _norm_length(function: Function, x: Tensor, shape: Any, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """As a division by the root of the mean square."""
    eps = options.get("eps", args[1] if len(args) > 1 else None)
    square = x.square().mean(tuple(range(-len(shape), 0)), keepdim=True)
    return function(x, shape, *args, **options), (square + (torch.finfo(x.dtype).eps if eps is None else eps)).rsqrt()


def _divide_length(kept: Tensor, x: Tensor, shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
    return x * kept if weight is None else x * kept * weight


def _attend(function: Function, q: Tensor, k: Tensor, v: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """As its weights, which are what it makes of values that each stand for one position."""
    each = torch.eye(v.shape[-2], dtype=v.dtype, device=v.device).expand(*v.shape[:-1], v.shape[-2])
    return function(q, k, v, *args, **options), function(q, k, each, *args, **options)


def _average(kept: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
    return kept @ v


ACTIVATIONS = (
    *("relu", "relu_", "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish", "hardswish", "hardtanh"),
    *("tanh", "hardshrink", "softshrink", "tanhshrink", "softsign", "threshold"),
)
"""Those that are 0 at 0."""
POOLINGS = tuple(f"{kind}max_pool{rank}d" for kind in ("", "adaptive_") for rank in (1, 2, 3))
HELD = {
    **dict.fromkeys(ACTIVATIONS, Held(_activate, _scale)),
    **dict.fromkeys(POOLINGS, Held(_choose, _take)),
    **dict.fromkeys(("sigmoid", "hardsigmoid", "softmax", "softmin"), Held(_weigh, _as_it_was)),
    "layer_norm": Held(_norm_layer, _divide_layer),
    "group_norm": Held(_norm_groups, _divide_groups),
    "rms_norm": Held(_norm_length, _divide_length),
    "scaled_dot_product_attention": Held(_attend, _average),
}
"""By the names that torch calls its functions by; batch norm in evaluation is linear as it is."""
