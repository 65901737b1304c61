"""Putting blocks into networks: :func:`plug` edits a stock network in place, by dotted path."""

from blockyard.plugging.frames import (
    PerFrame,
    SpaceTime,
    Span,
    block_shape,
    fold_frames,
    tell_frames,
    unfold_frames,
    wrap,
)
from blockyard.plugging.making import BlockFactory, make_block
from blockyard.plugging.merging import merge
from blockyard.plugging.places import PlugError, stage_paths
from blockyard.plugging.plug import Plug, apply_plugs, plug
from blockyard.plugging.plugged import Gated, Plugged, Replaced, Wrapped
from blockyard.plugging.presets import PRESETS, named_places
from blockyard.plugging.probe import undisturbed
from blockyard.plugging.sites import Mode, Site, sites

__all__ = [
    "PRESETS",
    "BlockFactory",
    "Gated",
    "Mode",
    "PerFrame",
    "Plug",
    "PlugError",
    "Plugged",
    "Replaced",
    "Site",
    "SpaceTime",
    "Span",
    "Wrapped",
    "apply_plugs",
    "block_shape",
    "fold_frames",
    "make_block",
    "merge",
    "named_places",
    "plug",
    "sites",
    "stage_paths",
    "tell_frames",
    "undisturbed",
    "unfold_frames",
    "wrap",
]
