"""Which places of a network take a block, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from blockyard.plugging.inputs import maps
from blockyard.plugging.places import PlugError, aliases, walk
from blockyard.plugging.plugged import Replaced, Wrapped, bare, plugs
from blockyard.plugging.probe import Calls, Reading, Shape, probe

Mode = Literal["after", "replace", "around"]


@dataclass(frozen=True)
class Site(Calls):
    """One place of a network as the probe saw it.

    Args:
        path: Dotted path in the stock network.
        alias: The same with a stage alias, such as ``stage3.5``, or None outside the stages.
        type: Class name of the stock module.
        inputs: What each call hands it, ``(C, *S)`` of one sample, or None if that is not one tensor.
        outputs: What each call gives, ``(C, *S)`` of one sample, or None if that is not one tensor.
        maps: How many of these one input of the network makes: its frames where they are folded into the batch.
        refusal: Why a block cannot go here, in one line, or None if it can.
        mode: Whether the refusal is for a block after the module, in its place, or around it.
        module: The stock module.
    """

    path: str
    alias: str | None
    type: str
    inputs: tuple[Shape | None, ...]
    outputs: tuple[Shape | None, ...]
    maps: int
    refusal: str | None
    mode: Mode
    module: nn.Module = field(repr=False, compare=False)


def sites(network: nn.Module, example: Any = None, *, mode: Mode = "after") -> list[Site]:
    """Every place of a network, with what passes there and whether a block can go there.

    Args:
        network: A network that is not compiled; left as it was.
        example: An input: tensor, shape ``(B, C, *S)`` or tuple of arguments. Guessed if None, at the size that
            the network declares if it does.
        mode: Whether blocks shall go after the places, replace them, or go around them.

    Raises:
        PlugError: If the network does not run, or is compiled.
    """
    refuse_network(network)
    alias = aliases(network)
    seen = probe(network, list(walk(network)), example, declared=True)
    batch = next((len(tensor) for tensor in maps(seen.first)), 1)
    return [_site(reading, mode, alias.get(reading.place.path), batch) for reading in seen.readings]


def _site(reading: Reading, mode: Mode, alias: str | None, batch: int) -> Site:
    module, first = bare(reading.place.module), reading.first
    return Site(
        path=reading.place.path,
        alias=alias,
        type=type(module).__name__,
        inputs=tuple(shape and shape[1:] for shape in first.inputs),
        outputs=tuple(shape and shape[1:] for shape in first.outputs),
        maps=max(1, first.output[0] // batch) if first.output else 1,
        refusal=refusal(reading, mode),
        mode=mode,
        module=module,
    )


def refuse_network(network: nn.Module) -> None:
    """Refuse networks in which an edit would be lost.

    Raises:
        PlugError: If the network, or a part of it, is compiled or wrapped for data-parallel training.
    """
    for name, module in network.named_modules():
        where = f"{name} of the network" if name else "the network"
        if isinstance(module, torch.jit.ScriptModule):
            raise PlugError(f"{where} is a TorchScript module, whose code cannot be edited")
        if "_orig_mod" in module._modules or module._compiled_call_impl is not None:
            raise PlugError(f"{where} is compiled: plug first, then compile")
        if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
            raise PlugError(f"{where} is wrapped in {type(module).__name__}: plug first, then wrap")


def refusal(reading: Reading, mode: Mode) -> str | None:
    """Why a block cannot go at a place, in one line, or None if it can."""
    first = reading.first
    if reading.closed is not None:
        return reading.closed
    if reading.twin is not None:
        return f"the network holds the same module as {reading.twin}"
    if not first.runs:
        return "it runs 0 times when the network is called"
    if first.runs > 1 and not _has_weights(reading.place.module):
        return f"it runs {first.runs} times when the network is called, and has no weights that it would share"
    if None in first.outputs or first.output is None or first.dtype is None:
        return f"it gives a {first.kind}, not a tensor"
    if not first.dtype.is_floating_point:
        return f"it gives {first.dtype}, not a feature map"
    wrong = _not_a_map(first.output, reading.second.output if reading.second else None, reading.aspect)
    if wrong:
        return f"it gives {_show(first.output)}, {wrong}"
    if len(widths := _widths(first.outputs)) > 1:
        return f"it gives maps of {' and '.join(map(str, widths))} channels, and a block is for one number of them"
    return None if mode == "after" else _taken(reading.place.module, mode) or _input_refusal(reading, mode)


def _has_weights(module: nn.Module) -> bool:
    """Whether what runs several times shares something, as a head of all levels does and an activation does not."""
    return next(module.parameters(), None) is not None


def _widths(shapes: list[Shape | None]) -> list[int]:
    """The different numbers of channels of maps ``(B, C, *S)``, or of their axes, in order."""
    return sorted({shape[1] for shape in shapes if shape})


def _taken(module: nn.Module, mode: Mode) -> str | None:
    """Why there is no stock module left to replace or to go around, or None if there is."""
    wrapper = next((one.block for one in plugs(module) if isinstance(one, Wrapped)), None)
    if wrapper is not None:
        return f"{type(wrapper).__name__} is around it, and there is room for one"
    stock = bare(module)
    if mode == "around" and isinstance(stock, Replaced):
        return "it was replaced"
    if mode == "around" and (stock._forward_hooks or stock._forward_pre_hooks):
        return "it has hooks, which would not see what a wrapper makes of it"
    return None


def _input_refusal(reading: Reading, mode: Mode) -> str | None:
    given = reading.first.input
    if given is None or None in reading.first.inputs:
        verb = "replace" if mode == "replace" else "go around"
        return f"it is not called with one tensor, so nothing can {verb} it, though it may a part of it, or go after"
    wrong = _not_a_map(given, reading.second.input if reading.second else None, reading.aspect)
    if wrong:
        return f"it takes {_show(given)}, {wrong}"
    widths = _widths(reading.first.inputs)
    several = f"it takes maps of {' and '.join(map(str, widths))} channels, and a block is for one number of them"
    return several if len(widths) > 1 else None


def _not_a_map(first: Shape, second: Shape | None, aspect: Shape) -> str | None:
    """What is wrong with a shape that should be ``(B, C, *S)``; the channel axis is the one that stays."""
    if not 3 <= len(first) <= 5:
        return "not a map (B, C, *S) with 1 to 3 spatial axes"
    if second is None:
        return _not_a_picture(first, aspect)
    stays = [a == b for a, b in zip(first[1:], second[1:], strict=True)]
    if stays[0] and not all(stays):
        return None
    if all(stays):
        return "whose size does not follow the input's, so the channel axis cannot be told"
    return _channels_elsewhere(first) if stays[-1] else "none of whose axes stays when the input's size changes"


def _not_a_picture(shape: Shape, aspect: Shape) -> str | None:
    """The network takes one input size only: which two axes have the input's aspect ratio tells the channel axis."""
    if len(shape) > 3 and len(aspect) == 2:
        first, last = _has_aspect(shape[-2:], aspect), _has_aspect(shape[-3:-1], aspect)
        if first and not last:
            return None
        if last and not first:
            return _channels_elsewhere(shape)
    kinds = "tokens (B, N, C) or a map (B, C, L)" if len(shape) == 3 else "channels first or last"
    return f"{kinds}: the network takes this input size only, so that cannot be told"


def _has_aspect(sides: Shape, aspect: Shape) -> bool:
    """Whether two sides are the input's divided by one stride, up to rounding by one pixel."""
    if aspect[0] == aspect[1]:
        return sides[0] == sides[1]
    return abs(sides[0] * aspect[1] - sides[1] * aspect[0]) < max(aspect)


def _channels_elsewhere(shape: Shape) -> str:
    return "tokens (B, N, C), not a map (B, C, *S)" if len(shape) == 3 else "channels last, not a map (B, C, *S)"


def _show(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
