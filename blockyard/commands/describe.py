"""``describe``: the places of a network, and what blocks would add there; neither data nor weights are needed."""

from __future__ import annotations

import re
from argparse import Namespace as Options
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.table import Table
from torch import nn

from blockyard.backbones.weights import weights_follow
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.costs import Cost, added_cost, count_macs, count_parameters
from blockyard.datamodules import DataError, DataModule
from blockyard.leaderboard.console import console
from blockyard.mistakes import nearest
from blockyard.plugging import Mode, Plug, PlugError, Site, Span, apply_plugs, named_places, sites
from blockyard.plugging.making import factory_name
from blockyard.progress import at_work

Shape = tuple[int, ...]
Cells = tuple[str, str, str]
UNIT = re.compile(r"stage\d+(\.\d+)?")
"""The alias of a stage or of a unit in one."""
STAND_IN = 10
"""Classes of a network whose data are not there and have no published number."""


class Way(NamedTuple):
    """How a block goes into a network, wherever."""

    block: Callable[..., nn.Module]
    mode: Mode
    span: Span | None = None


class Unplugged(SuiteCLI):
    """Builds the network of a configuration without its plugs, and keeps these apart.

    Attributes:
        plugs: The plugs that were asked for; ``at`` is empty where a block was given without a place.
        lacking: What the data lack to say their classes, for which others stand in; empty if they do.
    """

    lacking = ""

    def _num_classes(self, data: DataModule) -> int:
        try:
            _ = data.num_classes
        except DataError as error:
            self.lacking = str(error)
            return data.published_classes or STAND_IN
        return super()._num_classes(data)

    def instantiate_classes(self) -> None:
        """Fetch and read no weights: places and costs do not depend on them."""
        with weights_follow():
            super().instantiate_classes()

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


def main(options: Options, arguments: list[str]) -> int:
    """List the places of a configured network, what its blocks would add at each, and why others take none.

    Args:
        options: What :func:`~blockyard.commands.options.describe` reads.
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
    if built.lacking:
        classes = built.datamodule.published_classes
        stands_in = f"{classes:,} classes, as published" if classes else f"{STAND_IN} classes stand in"
        terminal.print(f"{stands_in}: {built.lacking}", soft_wrap=True)
    plugged = apply_plugs(deepcopy(network), [item for item in built.plugs if item.at], example=example)
    if plugged.state_dict().keys() != network.state_dict().keys():
        more = count_parameters(plugged) - costs[0], count_macs(plugged, shape) - costs[1]
        terminal.print(f"with its plugs: {more[0]:+,} parameters, {more[1]:+,} MACs")
    ways = [way for item in built.plugs for way in _ways(item)]
    for way in dict.fromkeys(ways) or [None]:
        with at_work("probing places"):
            found = sites(network, example, mode=way.mode if way else "after")
            shown = _shown(found, options.places, options.all, _asked(network, built.plugs))
            table = _table(shown, way)
        terminal.print(table)
        if left := len(found) - len(shown):
            print(f"{left} more places: --all lists them, --places 'stage1.*' those of one stage")
    return 0


def _asked(network: nn.Module, plugs: Iterable[Plug]) -> set[str]:
    """The paths of the places that plugs name; what names none has been refused before."""
    patterns = [pattern for item in plugs if item.at for _, _, pattern in item.requests()]
    found: set[str] = set()
    for pattern in patterns:
        with suppress(PlugError):
            found |= {place.path for place in named_places(network, pattern)}
    return found


def _shown(found: list[Site], glob: str | None, everything: bool, asked: set[str]) -> list[Site]:
    """The places to list: those that a glob matches, or stages, their units, what lies outside, and what is asked for.

    Raises:
        ValueError: If a glob matches none.
    """
    if everything:
        return found
    if glob is None:
        return [site for site in found if site.path in asked or _is_large(site)]
    shown = [site for site in found if fnmatchcase(site.path, glob) or fnmatchcase(site.alias or "", glob)]
    if not shown:
        raise ValueError(f"describe: no place matches {glob}; {nearest(glob, [site.path for site in found])}")
    return shown


def _is_large(site: Site) -> bool:
    """Whether a place is a stage, one of its units, or outside of all stages and not deep in anything."""
    return bool(UNIT.fullmatch(site.alias)) if site.alias else site.path.count(".") <= 1


def _ways(item: Plug) -> list[Way]:
    """How a plug's block goes in: one way for all its places, or several, told by the words before them."""
    return (
        [Way(item.block, mode, span) for mode, span, _ in item.requests()] if item.at else [Way(item.block, item.mode)]
    )


def _table(shown: Iterable[Site], way: Way | None) -> Table:
    """One row a place; with a block also what it adds there."""
    table = Table("place", "alias", "module", "gives")
    if way is not None:
        table.title = f"{way.mode} a place{f', {way.span}' if way.span else ''}: {factory_name(way.block)}"
        table.add_column("parameters", justify="right")
        table.add_column("MACs", justify="right")
    table.add_column("why no block can go here")
    known: dict[tuple[tuple[Shape | None, ...], int], Cells] = {}
    for site in shown:
        *numbers, refusal = _added(site, way, known) if way else (site.refusal or "",)
        table.add_row(site.path, site.alias or "", site.type, _text(site.output), *numbers, refusal)
    return table


def _added(site: Site, way: Way, known: dict[tuple[tuple[Shape | None, ...], int], Cells]) -> Cells:
    """What a block adds at a place; after a module that depends on its maps alone, so ``known`` keeps it."""
    maps = site.outputs, site.maps
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
