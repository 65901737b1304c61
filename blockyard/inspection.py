"""The verbs that look and train nothing: ``blocks`` and ``describe``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from blockyard.blocks import list_blocks
from blockyard.composition import compose
from blockyard.costs import count_macs, count_parameters
from blockyard.mistakes import nearest
from blockyard.plugging import Plug, Site, apply_plugs, sites
from blockyard.plugging.making import factory_name, wishes
from blockyard.training import SuiteCLI, allow_imports, prepare

Shape = tuple[int, ...]


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
    table = Table("block", "ranks", "parameters", f"MACs at {options.shape}", "paper")
    for kind in found:
        cost = _cost(partial(kind, shape[0], len(shape) - 1), shape)
        table.add_row(kind.__name__, ", ".join(map(str, kind.ranks)), *cost.cells(), cost.refusal or kind.paper)
    _console().print(table)


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
    items: list[Plug | None] = [*built.plugs] or [None]
    for item in items:
        console.print(_places(network, example, item))


def _places(network: nn.Module, example: Tensor, item: Plug | None) -> Table:
    """One row a place; with a plug also what its block adds there."""
    table = Table("place", "alias", "module", "gives")
    if item is not None:
        table.title = f"{item.mode} a place: {factory_name(item.block)}"
        table.add_column("parameters", justify="right")
        table.add_column("MACs", justify="right")
    table.add_column("why no block can go here")
    known: dict[Shape, Added] = {}
    for site in sites(network, example, mode=item.mode if item else "after"):
        gives = _text(site.output) if site.output else ""
        added = _added(site, item, known) if item else Added(refusal=site.refusal)
        table.add_row(site.path, site.alias or "", site.type, gives, *(added.cells() if item else ()), added.refusal)
    return table


@dataclass(frozen=True)
class Added:
    """Parameters and MACs that a block adds, or why it cannot."""

    parameters: int = 0
    macs: int = 0
    refusal: str | None = None

    def cells(self) -> tuple[str, str]:
        """The numbers for a table, empty where there are none."""
        return ("", "") if self.refusal else (f"{self.parameters:,}", f"{self.macs:,}")


def _added(site: Site, item: Plug, known: dict[Shape, Added]) -> Added:
    """What a block adds at a place; ``known`` keeps what does not depend on more than the shape."""
    shape = site.output if item.mode == "after" else site.input
    if site.refusal or shape is None:
        return Added(refusal=site.refusal)
    offers: dict[str, Any] = {"size": shape[1:], "host": site.module}
    options = {name: offers[name] for name in wishes(item.block)}
    if "host" in options or shape not in known:
        known[shape] = _cost(partial(item.block, shape[0], len(shape) - 1, **options), shape)
    return known[shape]


def _cost(make: Callable[[], nn.Module], shape: Shape) -> Added:
    """Cost of a block on a map ``(C, *S)``."""
    try:
        block = make()
    except ValueError as error:
        return Added(refusal=str(error))
    return Added(count_parameters(block), count_macs(block, shape))


def _map_shape(text: str) -> Shape:
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise ValueError(f"--shape {text}: expected channels and 1 to 3 sizes, such as 256x28x28")
    return shape


def _text(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=200)  # a pipe has no width: keep rows on one line
