"""Putting blocks into networks: :func:`plug` edits a stock network in place, by dotted path."""

from blockyard.plugging.making import BlockFactory, make_block
from blockyard.plugging.places import PlugError, stage_paths
from blockyard.plugging.plug import Plug, apply_plugs, plug
from blockyard.plugging.plugged import Gated, Plugged, Replaced
from blockyard.plugging.probe import undisturbed
from blockyard.plugging.sites import Mode, Site, sites

__all__ = [
    "BlockFactory",
    "Gated",
    "Mode",
    "Plug",
    "PlugError",
    "Plugged",
    "Replaced",
    "Site",
    "apply_plugs",
    "make_block",
    "plug",
    "sites",
    "stage_paths",
    "undisturbed",
]
