"""``describe``: the places of a network, and what blocks would add there."""

from __future__ import annotations

from argparse import Namespace as Options
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.table import Table
from torch import Tensor, nn

from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.costs import Cost, added_cost, count_macs, count_parameters
from blockyard.leaderboard.terminal import console
from blockyard.plugging import Mode, Plug, Site, Span, apply_plugs, sites
from blockyard.plugging.making import factory_name

Shape = tuple[int, ...]
Cells = tuple[str, str, str]


class Way(NamedTuple):
    """How a block goes into a network, wherever."""

    block: Callable[..., nn.Module]
    mode: Mode
    span: Span | None = None


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


def main(_: Options, arguments: list[str]) -> int:
    """List the places of a configured network, what its blocks would add at each, and why others take none.

    Args:
        arguments: Command line tokens after the verb, as for ``fit``.

    Returns:
        The exit code, 0.

    Raises:
        ValueError: If the configuration is wrong, or a plug names no place.
    """
    prepare()
    built = Unplugged(None, compose(arguments, keep_trainer=False))
    network, shape = built.model.network, built.datamodule.input_shape
    example = torch.zeros(1, *shape)
    costs = count_parameters(network), count_macs(network, shape)
    terminal = console()
    terminal.print(f"{type(network).__name__} on {_text(shape)}: {costs[0]:,} parameters, {costs[1]:,} MACs")
    plugged = apply_plugs(deepcopy(network), [item for item in built.plugs if item.at], example=example)
    if plugged.state_dict().keys() != network.state_dict().keys():
        more = count_parameters(plugged) - costs[0], count_macs(plugged, shape) - costs[1]
        terminal.print(f"with its plugs: {more[0]:+,} parameters, {more[1]:+,} MACs")
    ways = [way for item in built.plugs for way in _ways(item)]
    for way in dict.fromkeys(ways) or [None]:
        terminal.print(_places(network, example, way))
    return 0


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
    cells = cost_cells(lambda: added_cost(site, way.block, way.span))
    if not site.refusal:
        known[maps] = cells
    return cells


def cost_cells(cost: Callable[[], Cost]) -> Cells:
    """Parameters, MACs and nothing; or nothing, nothing and why there are none."""
    try:
        added = cost()
    except ValueError as error:
        return "", "", str(error)
    return f"{added.parameters:,}", f"{added.macs:,}", ""


def _text(shape: Shape | None) -> str:
    return "×".join(map(str, shape or ()))
