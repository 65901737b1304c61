"""Inputs for a probe: what the caller gave, or what the network lets one guess."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.plugging.places import PlugError

_SIZES: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((1024,), (128,), (16000,), (32,), (48000,)),
    2: ((64, 64), (224, 224), (32, 32), (28, 28), (256, 256), (299, 299), (384, 384)),
    3: ((8, 64, 64), (8, 224, 224), (16, 112, 112), (4, 182, 182), (16, 224, 224), (32, 224, 224)),
}
"""Small sizes first, then what classifiers with fixed heads were made for."""


def candidates(network: nn.Module, example: Any, *, declared: bool) -> Iterator[tuple[Any, ...]]:
    """Arguments to try on the network: the example alone, or guesses.

    Args:
        network: Whose first convolution gives channels, rank, device and dtype.
        example: Tensor, shape ``(B, C, *S)`` or tuple of arguments.
        declared: Begin with the size in timm's ``pretrained_cfg`` instead of a small one.

    Raises:
        PlugError: If there is neither an example nor anything to guess from.
    """
    like = next(network.parameters(), torch.empty(0))
    if isinstance(example, Tensor):
        yield (example,)
    elif isinstance(example, tuple | list) and all(isinstance(n, int) for n in example):
        yield (torch.zeros(tuple(example), device=like.device, dtype=like.dtype),)
    elif isinstance(example, tuple):
        yield example
    elif example is not None:
        raise PlugError(f"example must be a tensor, a shape or a tuple of arguments, got {type(example).__name__}")
    else:
        for shape in _guess(network, declared):
            yield (torch.zeros((1, *shape), device=like.device, dtype=like.dtype),)


def resized(inputs: tuple[Any, ...]) -> tuple[bool, list[tuple[Any, ...]]]:
    """Whether the arguments are so large that they shrink first, and the same arguments at other sizes.

    Should a network insist on its number of frames, the last two axes alone change. 8/7 takes 224 to 256, which
    networks that only take multiples of 32 accept.
    """
    shrinks = max((t[0, 0].numel() for t in maps(inputs)), default=0) > 128**2
    factors = (1 / 2, 8 / 7, 2.0) if shrinks else (3 / 2, 2.0, 1 / 2)
    axes = (3, 2) if any(t.dim() > 4 for t in maps(inputs)) else (3,)
    return shrinks, [tuple(_resize(value, f, a) for value in inputs) for a in axes for f in factors]


def describe(inputs: tuple[Any, ...]) -> str:
    """The shapes of some arguments, for a message."""
    return ", ".join(str(tuple(t.shape)) for t in _tensors(inputs)) or "()"


def _guess(network: nn.Module, declared: bool) -> list[tuple[int, ...]]:
    """Shapes ``(C, *S)`` to try; what the network declares may be for other channels, or for another stem."""
    convolutions = (m for m in network.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d))
    conv = next(convolutions, None)
    own = declared_size(network)
    if conv is None and own is None:
        raise PlugError(f"{type(network).__name__} has no convolution to guess an input from; pass example=")
    if conv is None:
        assert own is not None
        return [own]
    rank = len(conv.kernel_size)
    sizes = list(_SIZES[rank])
    if own is not None and len(own) == rank + 1:
        sizes.insert(0 if declared else 1, own[1:])
    shapes = [(conv.in_channels, *size) for size in sizes]
    return list(dict.fromkeys([*shapes, own] if own else shapes))


def declared_size(network: nn.Module) -> tuple[int, ...] | None:
    """``(C, *S)`` from timm's ``pretrained_cfg``, also of a network inside an adapter."""
    for module in network.modules():
        config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
        if config:
            size = config.get("input_size") if isinstance(config, Mapping) else getattr(config, "input_size", None)
            return tuple(size) if size else None
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def maps(value: Any) -> list[Tensor]:
    """The tensors with spatial axes, ``(B, C, *S)``, in a nested argument."""
    return [tensor for tensor in _tensors(value) if tensor.dim() > 2]


def _resize(value: Any, factor: float, axes: int) -> Any:
    """Nearest-neighbour scaling of the last ``axes`` spatial axes of every map in a nested argument."""
    if isinstance(value, Tensor):
        for axis in range(max(2, value.dim() - axes), value.dim()) if value.dim() > 2 else ():
            old = value.shape[axis]
            new = max(1, round(old * factor))
            value = value.index_select(axis, torch.arange(new, device=value.device) * old // new)
        return value
    if isinstance(value, Mapping):
        return {key: _resize(item, factor, axes) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_resize(item, factor, axes) for item in value)
    return value
