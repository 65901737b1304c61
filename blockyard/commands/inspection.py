"""The verbs that look and train nothing: ``blocks`` and ``describe``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from blockyard.blocks import Block, list_blocks
from blockyard.commands.composition import compose
from blockyard.commands.training import SuiteCLI, allow_imports, prepare
from blockyard.costs import Cost, added_cost, count_macs, count_parameters
from blockyard.mistakes import nearest
from blockyard.plugging import Mode, Plug, Site, Span, apply_plugs, sites
from blockyard.plugging.making import factory_name, make_block

Shape = tuple[int, ...]
Cells = tuple[str, str, str]


class Way(NamedTuple):
    """How a block goes into a network, wherever."""

    block: Callable[..., nn.Module]
    mode: Mode
    span: Span | None = None


def blocks(arguments: list[str]) -> None:
    """List the blocks whose names match a glob, with what they cost on a map of a given shape.

    Args:
        arguments: Command line tokens after the verb.

    Raises:
        ValueError: If no block matches, or the shape is none.
    """
    parser = argparse.ArgumentParser(prog="blockyard blocks", description="List the blocks.", exit_on_error=False)
    parser.add_argument("glob", nargs="?", default="*", help="such as '*Nonlocal' (default: all)")
    parser.add_argument(
        "--shape", default="256x28x28", help="CxS of the map, such as 256x8x14x14 (default: %(default)s)"
    )
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise ValueError(f"no option {unknown[0]}; {nearest(unknown[0], ['--shape', '--help'])}")
    allow_imports()
    shape = _map_shape(options.shape)
    found = list_blocks(options.glob)
    if not found:
        names = [block.__name__ for block in list_blocks()]
        raise ValueError(f"no block matches {options.glob}; {nearest(options.glob.strip('*'), names)}")
    table = Table("block", "slot", "ranks", "parameters", f"MACs at {options.shape}", "paper")
    for kind in found:
        parameters, macs, refusal = _cells(partial(_cost, kind, shape))
        ranks = ", ".join(map(str, kind.ranks))
        table.add_row(kind.__name__, kind.slot, ranks, parameters, macs, refusal or kind.paper)
    _console().print(table)
    print("slot: after a module, or (mode replace) in place of a convolution, here 3×3… from C to C, or an activation")


class Unplugged(SuiteCLI):
    """Builds the network of a configuration without its plugs, and keeps these apart.

    Attributes:
        plugs: The plugs that were asked for; ``at`` is empty where a block was given without a place.
    """

    def before_instantiate_classes(self) -> None:
        """Take the plugs out of the model's arguments."""
        super().before_instantiate_classes()
        given = self.config.model.init_args
        short = Namespace(block=given.block, at=given.at or [], mode="after", gate=False)
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--plugs", type=list[Plug])
        found = given.plugs or ([short] if given.block else [])
        self.plugs: list[Plug] = parser.instantiate_classes(Namespace(plugs=found)).plugs
        given.block = given.at = given.plugs = None
        self.run_config["model"]["init_args"] |= {"block": None, "at": None, "plugs": None}


def describe(arguments: list[str]) -> None:
    """List the places of a configured network, what its blocks would add at each, and why others take none.

    Args:
        arguments: Command line tokens after the verb, as for ``fit``.

    Raises:
        ValueError: If the configuration is wrong, or a plug names no place.
    """
    prepare()
    built = Unplugged(None, compose(arguments, keep_trainer=True))
    network, shape = built.model.network, built.datamodule.input_shape
    example = torch.zeros(1, *shape)
    costs = count_parameters(network), count_macs(network, shape)
    console = _console()
    console.print(f"{type(network).__name__} on {_text(shape)}: {costs[0]:,} parameters, {costs[1]:,} MACs")
    plugged = apply_plugs(deepcopy(network), [item for item in built.plugs if item.at], example=example)
    if plugged.state_dict().keys() != network.state_dict().keys():
        more = count_parameters(plugged) - costs[0], count_macs(plugged, shape) - costs[1]
        console.print(f"with its plugs: {more[0]:+,} parameters, {more[1]:+,} MACs")
    ways = [way for item in built.plugs for way in _ways(item)]
    for way in dict.fromkeys(ways) or [None]:
        console.print(_places(network, example, way))


def _ways(item: Plug) -> list[Way]:
    """How a plug's block goes in: one way for all its places, or several, told by the words before them."""
    return (
        [Way(item.block, mode, span) for mode, span, _ in item.requests()] if item.at else [Way(item.block, item.mode)]
    )


def _places(network: nn.Module, example: Tensor, way: Way | None) -> Table:
    """One row a place; with a block also what it adds there."""
    table = Table("place", "alias", "module", "gives")
    if way is not None:
        table.title = f"{way.mode} a place{f', {way.span}' if way.span else ''}: {factory_name(way.block)}"
        table.add_column("parameters", justify="right")
        table.add_column("MACs", justify="right")
    table.add_column("why no block can go here")
    known: dict[tuple[Shape | None, int], Cells] = {}
    for site in sites(network, example, mode=way.mode if way else "after"):
        *numbers, refusal = _added(site, way, known) if way else (site.refusal or "",)
        table.add_row(site.path, site.alias or "", site.type, _text(site.output), *numbers, refusal)
    return table


def _added(site: Site, way: Way, known: dict[tuple[Shape | None, int], Cells]) -> Cells:
    """What a block adds at a place; after a module that depends on its maps alone, so ``known`` keeps it."""
    maps = site.output, site.maps
    if way.mode == "after" and not site.refusal and maps in known:
        return known[maps]
    cells = _cells(lambda: added_cost(site, way.block, way.span))
    if not site.refusal:
        known[maps] = cells
    return cells


def _cells(cost: Callable[[], Cost]) -> Cells:
    """Parameters, MACs and nothing; or nothing, nothing and why there are none."""
    try:
        added = cost()
    except ValueError as error:
        return "", "", str(error)
    return f"{added.parameters:,}", f"{added.macs:,}", ""


def _map_shape(text: str) -> Shape:
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise ValueError(f"--shape {text}: expected channels and 1 to 3 sizes, such as 256x28x28")
    return shape


def _cost(kind: type[Block], shape: Shape) -> Cost:
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(shape) - 2]
    hosts: dict[str, nn.Module] = {
        "convolution": convolution(shape[0], shape[0], 3, padding=1),
        "activation": nn.ReLU(),
    }
    block = make_block(kind, shape, kind.__name__, hosts.get(kind.slot))
    return Cost(count_parameters(block), count_macs(block, shape))


def _text(shape: Shape | None) -> str:
    return "×".join(map(str, shape or ()))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=200)  # a pipe has no width: keep rows on one line
