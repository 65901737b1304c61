"""Dotted paths of the stock network: what there is, and what a pattern names.

A pattern is a path whose segments may be globs (``layer*.*.bn3``; ``*`` stays within one segment) or negative
positions (``layer3.-2``, the last child but one), and whose first segment may be a stage alias (``stage3.-2``:
the last unit but one of the third stage, whatever the network calls it). Plugs made before are transparent.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from torch import nn

from blockyard.plugging.plugged import Replaced, bare

_UNIT = re.compile(r"-?\d+|[\d*?!\[\]-]+")
"""A segment after a stage alias that counts the stage's units instead of naming a child."""


class PlugError(ValueError):
    """A plug, or a site, that was refused; the message is one line."""


@dataclass(frozen=True)
class Place:
    """One module of the stock network, by where it hangs.

    Args:
        path: Its dotted path in the stock network.
        parent: The stock module that holds it.
        name: The attribute of ``parent`` that holds it.
    """

    path: str
    parent: nn.Module
    name: str

    @property
    def module(self) -> nn.Module:
        """The stock module with everything plugged after it."""
        return self.parent.get_submodule(self.name)


def stock_network(network: nn.Module) -> nn.Module:
    """Where paths begin: an adapter says in ``stock_path`` which of its children is the stock network."""
    return network.get_submodule(getattr(network, "stock_path", ""))


def walk(network: nn.Module) -> Iterator[Place]:
    """Every place of the stock network, parents before children."""
    yield from _below(stock_network(network), "")


def closed(network: nn.Module, path: str) -> str | None:
    """Why a place lies in a part that takes no block, as the network says itself in ``closed``; None if it does not."""
    return next((why for part, why in _closed(network).items() if f"{path}.".startswith(f"{part}.")), None)


def select(network: nn.Module, pattern: str) -> list[Place]:
    """The places that a pattern names, in the network's order.

    Raises:
        PlugError: If there is none; the message lists near misses, or why the network has no stages.
    """
    segments = pattern.strip().split(".")
    if not all(segments):
        raise PlugError(f"at={pattern!r} is not a dotted path such as 'layer3.4', 'layer*.*.bn3' or 'stage3.-2'")
    root = stock_network(network)
    found = list(_match(root, segments, "")) or list(_match_stages(root, segments))
    if not found and segments[0].startswith("stage") and _closed(network) and not stage_paths(network):
        raise PlugError(f"at={pattern!r}: there are no stages; {next(iter(_closed(network).values()))}")
    if not found:
        raise PlugError(f"at={pattern!r} matches nothing in {type(root).__name__}; {_near_misses(root, pattern)}")
    return found


def stage_paths(network: nn.Module) -> dict[str, str]:
    """The stages of a network: alias (``stage1``, ``stage2``…) to stock path.

    They come from ``network.stages`` of a Blockyard backbone, from timm's ``feature_info`` (the stages of stride 4
    and more, so that ``stage1`` is ResNet's ``layer1``), or from the names that stock networks give their stages.
    """
    root = stock_network(network)
    for prefix, module in [("", root), *((f"{name}.", child) for name, child in root.named_children())]:
        paths = _own_stages(module) or _timm_stages(module) or _named_stages(module)
        if paths:
            return {f"stage{i}": prefix + path for i, path in enumerate(paths, 1)}
    return {}


def aliases(network: nn.Module) -> dict[str, str]:
    """Stock path to stage alias, such as ``layer3.5.bn3`` to ``stage3.5.bn3``, for all that lies in a stage."""
    root = stock_network(network)
    found = {}
    for alias, stage in stage_paths(network).items():
        units, prefix = _units(root, stage)
        found[stage] = alias
        for i, unit in enumerate(units):
            path = f"{prefix}{unit}"
            (place,) = _match(root, path.split("."), "")
            found.setdefault(path, f"{alias}.{i}")
            found |= {below.path: f"{alias}.{i}{below.path[len(path) :]}" for below in _below(place.module, f"{path}.")}
    return found


def _closed(network: nn.Module) -> dict[str, str]:
    found: dict[str, str] = getattr(network, "closed", {})
    return found


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    module = bare(module)
    if isinstance(module, Replaced):  # what stands in for a stock module has no stock paths inside
        return []
    return [(name, child) for name, child in module._modules.items() if child is not None]


def _below(module: nn.Module, prefix: str) -> Iterator[Place]:
    for name, child in _children(module):
        yield Place(prefix + name, bare(module), name)
        yield from _below(child, f"{prefix}{name}.")


def _chosen(names: list[str], segment: str) -> list[str]:
    """The names that one segment of a pattern picks: a position from the end, or a glob."""
    if re.fullmatch(r"-\d+", segment):
        return names[int(segment) :][:1] if int(segment[1:]) <= len(names) else []
    return [name for name in names if fnmatchcase(name, segment)]


def _match(module: nn.Module, segments: list[str], prefix: str) -> Iterator[Place]:
    head, *rest = segments
    for name in _chosen([name for name, _ in _children(module)], head):
        place = Place(prefix + name, bare(module), name)
        if rest:
            yield from _match(place.module, rest, f"{place.path}.")
        else:
            yield place


def _match_stages(root: nn.Module, segments: list[str]) -> Iterator[Place]:
    head, *rest = segments
    for alias, stage in stage_paths(root).items():
        if not fnmatchcase(alias, head):
            continue
        if rest and _UNIT.fullmatch(rest[0]):
            units, prefix = _units(root, stage)
            by_index = [str(i) for i in range(len(units))]
            picked = [units[int(i)] for i in _chosen(by_index, rest[0])]
            for unit in picked:
                yield from _match(root, f"{prefix}{unit}".split(".") + rest[1:], "")
        else:
            yield from _match(root, stage.split(".") + rest, "")


def _units(root: nn.Module, stage: str) -> tuple[list[str], str]:
    """The blocks that a stage runs one after another, by name, and the path that leads to them.

    A stage is often a sequence itself (ResNet); ConvNeXt, Swin and pytorchvideo hold the sequence in a child, beside
    a downsampling of mixed layers; those of Inception-v4 and VGG follow one another in one sequence, and each is called
    by its end.
    """
    (place,) = _match(root, stage.split("."), "")
    names = [name for name, _ in _children(place.module)]
    if names and all(name.isdigit() for name in names):
        return names, f"{stage}."
    if along := _along_one_sequence(root, stage):
        return along, f"{stage.rpartition('.')[0]}."
    sequences = [(len(_children(child)), name, child) for name, child in _children(place.module) if _is_uniform(child)]
    if not sequences:
        return names, f"{stage}."
    _, name, sequence = max(sequences, key=lambda item: item[0])
    return [unit for unit, _ in _children(sequence)], f"{stage}.{name}."


def _along_one_sequence(root: nn.Module, stage: str) -> list[str]:
    """What a sequence of all stages runs from the end of the one before to that of this one; empty if there is none."""
    sequence, _, end = stage.rpartition(".")
    if not isinstance(bare(root.get_submodule(sequence)), nn.Sequential):  # lists of stages hold poolings too
        return []
    ends = [path.rpartition(".") for path in stage_paths(root).values()]
    numbers = [int(name) for parent, _, name in ends if parent == sequence and name.isdigit()]
    if len(numbers) < len(ends) or all(after - before < 2 for before, after in pairwise(numbers)):
        return []
    first = max((number for number in numbers if number < int(end)), default=int(end) - 1)
    return [str(number) for number in range(first + 1, int(end) + 1)]


def _is_uniform(module: nn.Module) -> bool:
    kinds = {type(bare(child)) for _, child in _children(module)}
    return isinstance(bare(module), nn.Sequential | nn.ModuleList) and len(kinds) == 1


def _own_stages(module: nn.Module) -> list[str]:
    stages = getattr(module, "stages", None)
    return [stage.path for stage in stages] if isinstance(stages, tuple) else []


def _timm_stages(module: nn.Module) -> list[str]:
    info: Any = getattr(module, "feature_info", None)
    entries = getattr(info, "info", info) or []
    paths = [entry["module"] for entry in entries if entry.get("reduction", 0) >= 4]
    if paths and paths[-1] == "final_conv":  # byobnet and MobileViT count the convolution behind their last stage
        paths[-1] = f"stages.{len(_children(module.get_submodule('stages'))) - 1}"
    return paths


def _named_stages(module: nn.Module) -> list[str]:
    """``layer1``… (torchvision, mmseg), ``stages.0``…, or the ``blocks`` that hold ``res_blocks`` (pytorchvideo)."""
    children = dict(_children(module))
    layers = sorted((name for name in children if re.fullmatch(r"layer\d", name)), key=lambda name: int(name[5:]))
    if layers:
        return layers
    if "stages" in children:
        return [f"stages.{name}" for name, _ in _children(children["stages"])]
    blocks = _children(children["blocks"]) if "blocks" in children else []
    return [f"blocks.{name}" for name, block in blocks if "res_blocks" in dict(_children(block))]


def _near_misses(root: nn.Module, pattern: str) -> str:
    paths = [place.path for place in _below(root, "")]
    names = [*aliases(root).values(), *paths] if pattern.startswith("stage") else paths
    near = difflib.get_close_matches(pattern, names, n=4, cutoff=0.5)
    if near:
        return f"near: {', '.join(near)}"
    return f"its parts are {', '.join(name for name, _ in _children(root))}"
