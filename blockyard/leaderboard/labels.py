"""What an experiment, a configuration in its canonical form, is called in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

NO_BLOCK = "none"
"""The block label of a baseline."""


def block_label(experiment: Mapping[str, Any]) -> str:
    """What is plugged in where, such as ``SpectralNonlocal @ stage2.1``; ``none`` for a baseline."""

    def kind(plug: dict[str, Any]) -> tuple[str, str, bool]:
        return class_name(plug["block"]), plug["mode"], plug["gate"]

    parts = []
    for (name, mode, gate), plugs in groupby(experiment["model"]["init_args"].get("plugs", []), kind):
        sites = ", ".join(plug["at"] for plug in plugs)
        parts.append(f"{'gated ' if gate else ''}{name} {'@' if mode == 'after' else 'replaces'} {sites}")
    return " + ".join(parts) or NO_BLOCK


def backbone_label(experiment: Mapping[str, Any]) -> str:
    """The backbone and its options, such as ``PreResNet(depth=20)``; empty if the task has none."""
    backbone = experiment["model"]["init_args"].get("backbone")
    if backbone is None:
        return ""
    arguments = backbone.get("init_args", {})
    options = [f"{key}={value}" for key, value in sorted(arguments.items()) if value is not False]
    return class_name(backbone) + (f"({', '.join(options)})" if options else "")


def class_name(node: Mapping[str, Any]) -> str:
    """Name of the class of a ``class_path``, ``init_args`` pair."""
    name: str = node["class_path"].rpartition(".")[2]
    return name


def differences(experiments: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells experiments apart that would have the same name otherwise.

    Returns:
        For each experiment the settings in which it differs from another: ``max_epochs=5, order=3``.
    """
    flat = [dict(_leaves(experiment)) for experiment in experiments]
    keys = sorted({key for leaves in flat for key in leaves})
    varying = [key for key in keys if len({repr(leaves.get(key)) for leaves in flat}) > 1]
    return [", ".join(f"{key.rpartition('.')[2]}={leaves.get(key)}" for key in varying) for leaves in flat]


def _leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        children = list(node.items())
    elif isinstance(node, list):
        children = list(enumerate(node))
    else:
        return [(path, node)]
    return [leaf for key, child in children for leaf in _leaves(child, f"{path}.{key}")]
