"""Making the block for one place: what its factory asks for, its random stream, the pooling behind it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from blockyard.blocks import list_blocks, list_wrappers
from blockyard.blocks.base import Pluggable, Wrapper
from blockyard.mistakes import nearest
from blockyard.plugging.frames import Span, block_shape, wrap
from blockyard.plugging.places import PlugError
from blockyard.plugging.plugged import Gated, Wrapped, bare, plugs
from blockyard.plugging.probe import Reading, Shape
from blockyard.plugging.sites import Mode

BlockFactory = Callable[[int, int], Pluggable]
"""``(channels, spatial_dims) -> block``: a class, a ``functools.partial``, or what jsonargparse makes of a config."""

AnyFactory = Callable[..., nn.Module]

_AVERAGE_POOL: dict[int, AnyFactory] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def make_block(
    factory: AnyFactory, shape: Shape, stream: str, host: nn.Module | None = None, mode: Mode = "after"
) -> nn.Module:
    """Make a block from a random stream of its own, the same on every device.

    Args:
        factory: ``(channels, spatial_dims) -> module``, which may also ask for ``size`` or ``host``.
        shape: ``(C, *S)`` of the map that the block is for.
        stream: Names the stream.
        host: The module that the block replaces or goes around, if it does.
        mode: How it goes in.

    Raises:
        ValueError: If what is made is for another mode, if the factory asks for ``host`` and there is none, or if it
            refuses the channels or the rank.
    """
    _refuse_kind(innermost(factory), mode)
    asked = wishes(factory)
    if host is None and asked.get("host"):
        raise ValueError(f"{factory_name(factory)} needs the module that it replaces; use mode='replace'")
    offers = {"size": shape[1:]} | ({} if host is None else {"host": host})
    options = {name: value for name, value in offers.items() if name in asked}
    digest = hashlib.sha256(stream.encode()).digest()
    # on the CPU, whatever the default device: torch.manual_seed would also reseed CUDA
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(int.from_bytes(digest[:7], "big"))
        made = factory(shape[0], len(shape) - 1, **options)
    _refuse_kind(type(made), mode)
    return made


def _refuse_kind(kind: AnyFactory, mode: Mode) -> None:
    """Refuse wrappers after or in place of a module, and blocks around one; what a function makes is seen later.

    Raises:
        ValueError: If a class does not go with the mode.
    """
    if not isinstance(kind, type) or issubclass(kind, Wrapper) == (mode == "around"):
        return
    if mode == "around":
        raise ValueError(f"{kind.__name__} is no Wrapper, which runs a module; its modes are 'after' and 'replace'")
    raise ValueError(f"{kind.__name__} goes around a module; use mode='around'")


def block_for(
    reading: Reading, factory: AnyFactory, mode: Mode, *, gate: bool, seed: int | None, span: Span | None = None
) -> nn.Module:
    """The block for one place, with the place's device, dtype and training mode.

    Raises:
        PlugError: If the factory refuses the place's channels or rank, or asks for what there is not.
    """
    place, trace = reading.place, reading.first
    host = bare(place.module)
    shape = trace.input if mode == "replace" else trace.output
    assert shape is not None
    if span == "space-time" and "size" in wishes(factory):
        raise PlugError(f"cannot plug {span} at {place.path}: {factory_name(factory)} depends on the map's size")
    if "size" in wishes(factory) and len(set(trace.inputs if mode == "replace" else trace.outputs)) > 1:
        name = factory_name(factory)
        raise PlugError(f"cannot plug {mode} {place.path}: it runs on maps of several sizes, and {name} is for one")
    inner = block_shape(shape[1:], span, place.path)
    seed = torch.initial_seed() if seed is None else seed
    earlier = sum(not isinstance(one, Wrapped) for one in plugs(place.module))
    stream = f"{seed} {place.path} {'around' if mode == 'around' else earlier}"
    try:
        block = make_block(factory, inner, stream, None if mode == "after" else host, mode)
    except (ValueError, TypeError) as error:
        raise PlugError(f"cannot plug {mode} {place.path}: {error}") from error
    block = wrap(block, span)
    block = Gated(block) if gate else block
    return block.to(device=trace.device, dtype=trace.dtype).train(host.training)


def pool_for(reading: Reading, factory: AnyFactory) -> nn.Module | None:
    """Average pooling by the stride of the replaced module, or None where the block keeps up with it.

    Raises:
        PlugError: If the module changes the channels, or the size in a way that no stride explains.
    """
    first, second = reading.first, reading.second
    if "host" in wishes(factory):
        return None
    traces = [trace for trace in (first, second) if trace is not None]
    pairs = [(a, b) for t in traces for a, b in zip(t.inputs, t.outputs, strict=True) if a and b]
    given, got = max(pairs, key=lambda pair: math.prod(pair[0]))
    cannot = f"cannot replace {reading.place.path}"
    only_hosts = "only a block whose signature asks for 'host' may change the shape"
    if given[1] != got[1]:
        name = factory_name(factory)
        raise PlugError(f"{cannot}: it takes {given[1]} channels to {got[1]}, and {name} keeps them; {only_hosts}")
    if all(before == after for before, after in pairs):
        return None
    stride = tuple(max(1, round(n / m)) for n, m in zip(given[2:], got[2:], strict=True))
    for ceil in (True, False):
        if all(_pooled(before, stride, ceil) == after[2:] for before, after in pairs):
            return _AVERAGE_POOL[len(stride)](stride, stride, ceil_mode=ceil)
    raise PlugError(f"{cannot}: from {given[2:]} to {got[2:]} is not a stride; {only_hosts}")


def _pooled(shape: Shape, stride: Shape, ceil: bool) -> Shape:
    return tuple(-(-n // s) if ceil else n // s for n, s in zip(shape[2:], stride, strict=True))


def wishes(factory: AnyFactory) -> dict[str, bool]:
    """Which of ``size`` and ``host`` a factory asks for, and whether it cannot do without.

    What a ``functools.partial`` has fixed is not asked for, except to None: jsonargparse fixes every default.
    """
    fixed: dict[str, Any] = {}
    while isinstance(factory, functools.partial):
        fixed |= factory.keywords
        factory = _inside(factory)
    parameters = inspect.signature(factory).parameters
    return {
        name: parameters[name].default is inspect.Parameter.empty
        for name in ("size", "host")
        if name in parameters and fixed.get(name) is None
    }


def factory_name(factory: AnyFactory) -> str:
    """The name of a class or function, also inside partials."""
    factory = innermost(factory)
    return getattr(factory, "__name__", type(factory).__name__)


def block_named(name: str) -> type[Pluggable]:
    """The block or wrapper of a name; those of other packages are found too, once they are imported.

    Raises:
        PlugError: If there is none.
    """
    kinds: dict[str, type[Pluggable]] = {kind.__name__: kind for kind in (*list_blocks(), *list_wrappers())}
    if name not in kinds:
        raise PlugError(f"no block {name}; {nearest(name, kinds)}")
    return kinds[name]


def innermost(factory: AnyFactory) -> AnyFactory:
    """The class or function that makes the block, also inside partials."""
    while isinstance(factory, functools.partial):
        factory = _inside(factory)
    return factory


def _inside(factory: functools.partial[Any]) -> AnyFactory:
    """What a partial calls; jsonargparse's calls its own function, with the class as an argument."""
    return next((arg for arg in factory.args if isinstance(arg, type)), factory.func)
