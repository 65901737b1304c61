"""Blocks go in: after a module or in its place, all of them or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from blockyard.plugging.inputs import declared_size
from blockyard.plugging.making import AnyFactory, BlockFactory, block_for, factory_name, pool_for, wishes
from blockyard.plugging.places import Place, PlugError, select
from blockyard.plugging.plugged import Plugged, Replaced
from blockyard.plugging.probe import Probe, Reading, Trace, first_line, probe, run, undisturbed
from blockyard.plugging.sites import Mode, refusal, refuse_network


@dataclass
class Plug:
    """A block and where it goes.

    Args:
        block: Makes the block from ``(channels, spatial_dims)``.
        at: Pattern or patterns of stock paths: ``layer3.4``, ``layer*.*.bn3``, ``stage3.-2``.
        mode: Whether the block goes after the places or replaces them.
        gate: Whether to wrap it as x + γ (block(x) − x) with γ = 0 at first.
    """

    block: BlockFactory
    at: str | list[str]
    mode: Mode = "after"
    gate: bool = False


def plug(
    network: nn.Module,
    block: AnyFactory,
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
        block: Any callable ``(channels, spatial_dims) -> module``. If its signature asks for ``size``, it gets the
            map size ``S`` at the network's real input size; if for ``host`` (mode "replace"), the module that it
            replaces, and it may then change the shape exactly as that one did.
        at: Pattern or patterns. ``*`` stays within one segment, ``-2`` is the last child but one, ``stage3.-2`` the
            last unit but one of the third stage. A leading word, ``"after layer3.4"`` or ``"replace layer3.4"``,
            goes before ``mode``.
        mode: Whether the block goes after the places or replaces them. In place of a strided module, the block is
            followed by average pooling.
        example: An input: tensor, shape ``(B, C, *S)`` or tuple of arguments. Guessed if None.
        gate: Whether to wrap each block as x + γ (block(x) − x) with γ = 0 at first: the identity, whatever the block.
        seed: Seed of the blocks' initial values; ``torch.initial_seed()`` if None.
        quiet: Print nothing, instead of one line a place.

    Returns:
        The network that was given.

    Raises:
        PlugError: If anything is refused; the network is then as it was.
    """
    item = Plug(cast(BlockFactory, block), [at] if isinstance(at, str) else list(at), mode, gate)
    return apply_plugs(network, [item], example=example, seed=seed, quiet=quiet)


def apply_plugs(
    network: nn.Module, plugs: Sequence[Plug], *, example: Any = None, seed: int | None = None, quiet: bool = False
) -> nn.Module:
    """Put a list of plugs into a network, in order, in place: all of them or none.

    Args:
        network: A network that is not compiled.
        plugs: What goes where; a later plug at the same place follows the earlier one.
        example: An input: tensor, shape ``(B, C, *S)`` or tuple of arguments. Guessed if None.
        seed: Seed of the blocks' initial values; ``torch.initial_seed()`` if None.
        quiet: Print nothing, instead of one line a place.

    Returns:
        The network that was given.

    Raises:
        PlugError: If anything is refused; the network is then as it was.
    """
    refuse_network(network)
    edits: list[_Edit] = []
    try:
        for item in plugs:
            for mode, patterns in _by_mode([item.at] if isinstance(item.at, str) else item.at, item.mode).items():
                edits += _insert(network, Plug(item.block, patterns, mode, item.gate), example, seed)
    except BaseException:
        for edit in reversed(edits):
            edit.undo()
        raise
    if not quiet:
        for edit in edits:
            print(edit.line)
    return network


@dataclass
class _Edit:
    parent: nn.Module
    name: str
    old: nn.Module
    new: nn.Module
    line: str

    def do(self) -> None:
        self.parent._modules[self.name] = self.new

    def undo(self) -> None:
        self.parent._modules[self.name] = self.old


def _by_mode(at: Sequence[str], mode: Mode) -> dict[Mode, list[str]]:
    """Patterns by mode; a leading word in a pattern goes before the argument."""
    if mode not in ("after", "replace"):
        raise PlugError(f"mode must be 'after' or 'replace', got {mode!r}")
    if not at:
        raise PlugError("at is empty; give a path such as 'layer3.4' or 'stage3.-2'")
    found: dict[Mode, list[str]] = {}
    for pattern in at:
        match = re.fullmatch(r"(after|replace)\s+(.+)", pattern.strip())
        word: Any = match[1] if match else mode
        found.setdefault(word, []).append(match[2] if match else pattern)
    return found


def _insert(network: nn.Module, item: Plug, example: Any, seed: int | None) -> list[_Edit]:
    places = list({place.path: place for pattern in item.at for place in select(network, pattern)}.values())
    sized = "size" in wishes(item.block)
    if sized and example is None and declared_size(network) is None:
        raise PlugError(
            f"{factory_name(item.block)} depends on the map's size, so plug needs example=, an input of the real size"
        )
    _refuse_nested(places, item.mode)
    seen = probe(network, places, example, declared=sized)
    _refuse_sites(seen.readings, item.mode)
    edits = [_edit(reading, item, seed) for reading in seen.readings]
    for edit in edits:
        edit.do()
    try:
        _check(network, edits, seen, sized=sized)
    except BaseException:
        for edit in reversed(edits):
            edit.undo()
        raise
    return edits


def _refuse_nested(places: Sequence[Place], mode: Mode) -> None:
    for place in places if mode == "replace" else ():
        inner = next((other.path for other in places if other.path.startswith(f"{place.path}.")), None)
        if inner:
            raise PlugError(f"cannot replace both {place.path} and {inner}, which lies inside it")


def _refuse_sites(readings: Sequence[Reading], mode: Mode) -> None:
    refused = [(reading.place.path, reason) for reading in readings if (reason := refusal(reading, mode))]
    if refused:
        path, reason = refused[0]
        more = f" (and {len(refused) - 1} more refused)" if len(refused) > 1 else ""
        raise PlugError(f"cannot plug {mode} {path}: {reason}{more}")


def _edit(reading: Reading, item: Plug, seed: int | None) -> _Edit:
    """The new module for one place, not yet in it."""
    place, parent, name, old = reading.place, reading.place.parent, reading.place.name, reading.place.module
    block = block_for(reading, item.block, item.mode, gate=item.gate, seed=seed)
    if item.mode == "replace":
        while isinstance(old, Plugged):  # blocks plugged after the place stay behind the replacement
            parent, name, old = old, "host", old.host
    new = Plugged(old, block) if item.mode == "after" else Replaced(block, pool_for(reading, item.block))
    new.training = old.training
    parameters = sum(p.numel() for p in block.parameters())
    line = f"{item.mode} {place.path}: {factory_name(item.block)}, {parameters:,} parameters"
    return _Edit(parent, name, old, new, line)


def _check(network: nn.Module, edits: Sequence[_Edit], seen: Probe, *, sized: bool) -> None:
    """Run the plugged network once: every new module must run and give what the old one gave."""
    inputs, shapes = (seen.first, seen.outputs) if sized else seen.check
    traces: dict[int, Trace] = {}
    with undisturbed(network):
        try:
            run(network, {id(edit.new): edit.new for edit in edits}, inputs, traces, complete=False)
        except Exception as error:
            raise PlugError(f"the network does not run with the block: {first_line(error)}") from error
    for edit, reading, shape in zip(edits, seen.readings, shapes, strict=True):
        trace = traces.get(id(edit.new))
        if trace is None:
            raise PlugError(f"cannot plug at {reading.place.path}: the network also calls the module by another name")
        if trace.output != shape:
            raise PlugError(f"cannot plug at {reading.place.path}: the block gives {trace.output} instead of {shape}")
