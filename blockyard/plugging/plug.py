"""Blocks go in: after a module or in its place, all of them or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from torch import nn

from blockyard.plugging.frames import Span
from blockyard.plugging.inputs import declared_size
from blockyard.plugging.making import AnyFactory, BlockFactory, block_for, block_named, factory_name, pool_for, wishes
from blockyard.plugging.places import Place, PlugError
from blockyard.plugging.plugged import Plugged, Replaced, Wrapped, plugs
from blockyard.plugging.presets import named_places
from blockyard.plugging.probe import Reading, Shape, Trace, first_line, probe, run, undisturbed
from blockyard.plugging.sites import Mode, refusal, refuse_network

_ENTRY = re.compile(r"(?:(after|replace|around)\s+)?(?:(per-frame|space-time)\s+)?(.+)")


@dataclass
class Plug:
    """A block and where it goes.

    Args:
        block: Makes the block from ``(channels, spatial_dims)``.
        at: Pattern or patterns of stock paths: ``layer3.4``, ``layer*.*.bn3``, ``stage3.-2``; or a preset's name.
        mode: Whether the block goes after the places, replaces them, or, a wrapper, goes around them.
        gate: Whether to wrap it as x + γ (block(x) − x) with γ = 0 at first.
    """

    block: BlockFactory
    at: str | list[str]
    mode: Mode = "after"
    gate: bool = False

    def requests(self) -> Iterator[tuple[Mode, Span | None, str]]:
        """Mode, span and pattern of each entry of ``at``; a leading word goes before the argument.

        Raises:
            PlugError: If there is no such mode, ``at`` is empty, or a gate or a span is asked for around a place.
        """
        if self.mode not in get_args(Mode):
            raise PlugError(f"mode must be {', '.join(map(repr, get_args(Mode)))}, got {self.mode!r}")
        if not self.at:
            raise PlugError("at is empty; give a path such as 'layer3.4' or 'stage3.-2'")
        for entry in [self.at] if isinstance(self.at, str) else self.at:
            match = _ENTRY.fullmatch(entry.strip())
            words: tuple[Any, ...] = match.groups() if match else (None, None, entry)
            mode, span = words[0] or self.mode, words[1]
            if mode == "around" and (span or self.gate):
                raise PlugError(f"cannot plug around {words[2]} {span or 'with a gate'}: that is for blocks of one map")
            yield mode, span, words[2]


def plug(
    network: nn.Module,
    block: AnyFactory | str,
    at: str | Sequence[str],
    *,
    mode: Mode = "after",
    example: Any = None,
    gate: bool = False,
    seed: int | None = None,
    quiet: bool = False,
) -> nn.Module:
    """Put blocks into a network, in place.

    Stock checkpoints keep loading, paths keep their stock meaning, and a block's initial values depend on
    ``seed`` and path alone: the main random stream does not move, so the rest of a run is the baseline's.

    Args:
        network: A network that is not compiled.
        block: Name of a block, or any callable ``(channels, spatial_dims) -> module``. If its signature asks for
            ``size``, it gets the map size ``S`` at the network's real input size; if for ``host`` (mode "replace"), the
            module that it replaces, and it may then change the shape exactly as that one did. In mode "around" it makes
            a :class:`~blockyard.blocks.Wrapper`, and ``host`` is the module that it goes around.
        at: Pattern or patterns. ``*`` stays within one segment, ``-2`` is the last child but one, ``stage3.-2`` the
            last unit but one of the third stage; ``one-in-res4`` and ``five-in-res3-res4`` are the papers' places.
            A leading word, ``"after layer3.4"``, ``"replace layer3.4"`` or ``"around layer3"``, goes before ``mode``.
            For video, ``"per-frame stage3.-2"`` puts a 2-D block on each frame of a 3-D network, and ``"space-time
            stage3.-2"`` a 3-D block on all frames that a 2-D network (``Framewise``) sees.
        mode: Whether the block goes after the places, replaces them, or goes around them. In place of a strided
            module, the block is followed by average pooling. Around a place, a wrapper runs the stock module itself,
            whose paths stay what they were; blocks after the same place, made before or later, follow it.
        example: An input: tensor, shape ``(B, C, *S)`` or tuple of arguments. Guessed if None.
        gate: Whether to wrap each block as x + γ (block(x) − x) with γ = 0 at first: the identity, whatever the block.
        seed: Seed of the blocks' initial values; ``torch.initial_seed()`` if None.
        quiet: Print nothing, instead of one line a place.

    Returns:
        The network that was given.

    Raises:
        PlugError: If anything is refused; the network is then as it was.
    """
    factory = block_named(block) if isinstance(block, str) else block
    item = Plug(cast(BlockFactory, factory), [at] if isinstance(at, str) else list(at), mode, gate)
    return apply_plugs(network, [item], example=example, seed=seed, quiet=quiet)


def apply_plugs(
    network: nn.Module, plugs: Sequence[Plug], *, example: Any = None, seed: int | None = None, quiet: bool = False
) -> nn.Module:
    """Put a list of plugs into a network, in order, in place: all of them or none.

    Args:
        network: A network that is not compiled.
        plugs: What goes where; a later plug at the same place follows the earlier one.
        example: An input, as of :func:`plug`.
        seed: Seed of the blocks' initial values; ``torch.initial_seed()`` if None.
        quiet: Print nothing, instead of one line a place.

    Returns:
        The network that was given.

    Raises:
        PlugError: If a plug is refused; the network is then as it was before the first.
    """
    refuse_network(network)
    orders = [order for item in plugs for order in _orders(network, item)]
    sized = [order for order in orders if "size" in wishes(order.block)]
    if sized and example is None and declared_size(network) is None:
        name = factory_name(sized[0].block)
        raise PlugError(f"{name} depends on the map's size, so plug needs example=, an input of the real size")
    places = {order.place.path: order.place for order in orders}
    seen = probe(network, list(places.values()), example, declared=bool(sized))
    readings = dict(zip(places, seen.readings, strict=True))
    _refuse(orders, readings)
    _edit(network, orders, readings, seed, *((seen.first, seen.outputs) if sized else seen.check))
    for order in orders if not quiet else ():
        print(order.line)
    return network


@dataclass
class _Order:
    """One block for one place."""

    block: AnyFactory
    place: Place
    mode: Mode
    gate: bool
    span: Span | None
    parameters: int = 0

    @property
    def line(self) -> str:
        where = " ".join(word for word in (self.mode, self.span, self.place.path) if word)
        return f"{where}: {factory_name(self.block)}, {self.parameters:,} parameters"


@dataclass
class _Edit:
    parent: nn.Module
    name: str
    old: nn.Module
    new: nn.Module

    def undo(self) -> None:
        self.parent._modules[self.name] = self.old


def _orders(network: nn.Module, item: Plug) -> list[_Order]:
    """What a plug asks for, place by place; a place that two patterns name counts once."""
    orders = {}
    for mode, span, pattern in item.requests():
        for place in named_places(network, pattern):
            orders[mode, span, place.path] = _Order(item.block, place, mode, item.gate, span)
    return list(orders.values())


def _refuse(orders: Sequence[_Order], readings: dict[str, Reading]) -> None:
    refused = [(order, why) for order in orders if (why := refusal(readings[order.place.path], order.mode))]
    if refused:
        order, why = refused[0]
        more = f" (and {len(refused) - 1} more refused)" if len(refused) > 1 else ""
        raise PlugError(f"cannot plug {order.mode} {order.place.path}: {why}{more}")
    for order in orders:
        outer = order.place.path
        others = {other.mode for other in orders if other.place.path == outer and other is not order}
        if order.mode == "around" and others - {"after"}:
            raise PlugError(f"cannot plug around {outer} and {max(others)} it; there is room for one wrapper")
        inner = next((path for path in readings if path.startswith(f"{outer}.")), None)
        if order.mode == "replace" and inner:
            raise PlugError(f"cannot replace {outer} and plug {inner}, which lies inside it")


def _edit(
    network: nn.Module,
    orders: Sequence[_Order],
    readings: dict[str, Reading],
    seed: int | None,
    inputs: tuple[Any, ...],
    shapes: Sequence[list[Shape | None]],
) -> None:
    """Put all blocks in and run the network once; undo everything if anything fails."""
    edits = []
    try:
        for order in orders:
            edits.append(_insert(order, readings[order.place.path], seed))
        expected = dict(zip(readings, shapes, strict=True))
        _check(
            network, {order.place.path: edit.new for order, edit in zip(orders, edits, strict=True)}, expected, inputs
        )
    except BaseException:
        for edit in reversed(edits):
            edit.undo()
        raise


def _insert(order: _Order, reading: Reading, seed: int | None) -> _Edit:
    parent, name, old = order.place.parent, order.place.name, order.place.module
    block = block_for(reading, order.block, order.mode, gate=order.gate, seed=seed, span=order.span)
    order.parameters = sum(p.numel() for p in block.parameters())
    if order.mode != "after":
        while isinstance(old, Plugged):  # blocks plugged after the place stay behind
            parent, name, old = old, "host", old.host
    new: nn.Module
    if order.mode == "replace":
        new = Replaced(block, pool_for(reading, order.block))
    else:
        new = (Wrapped if order.mode == "around" else Plugged)(old, block)
    new.training = old.training
    parent._modules[name] = new
    return _Edit(parent, name, old, new)


def _check(
    network: nn.Module, modules: dict[str, nn.Module], shapes: dict[str, list[Shape | None]], inputs: tuple[Any, ...]
) -> None:
    """Run the plugged network once: every new module must run and give what the old one gave."""
    calls = {id(module): len(shapes[path]) for path, module in modules.items()}
    traces: dict[int, Trace] = {}
    asking = [
        one.register_forward_pre_hook(lambda wrapped, given: wrapped.block.check(wrapped.host, *given))
        for module in modules.values()
        for one in plugs(module)
        if isinstance(one, Wrapped)
    ]
    with undisturbed(network):
        try:
            run(network, {id(module): module for module in modules.values()}, inputs, traces, calls=calls)
        except Exception as error:
            raise PlugError(f"the network does not run with the block: {first_line(error)}") from error
        finally:
            for handle in asking:
                handle.remove()
    for path, module in modules.items():
        trace = traces.get(id(module))
        if trace is None:
            raise PlugError(f"cannot plug at {path}: the network also calls the module by another name")
        for given, wanted in zip(trace.outputs, shapes[path], strict=False):
            if given != wanted:
                raise PlugError(f"cannot plug at {path}: the block gives {given} instead of {wanted}")
