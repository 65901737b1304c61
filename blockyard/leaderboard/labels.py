"""What an experiment, a configuration in its canonical form, is called in a table."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from blockyard.leaderboard.identity import PARENT, PROBE, TOGETHER

NO_BLOCK = "none"
"""The block label of a baseline."""
LONGEST = 72
"""Characters of one part of a label; what is longer is cut, and four digits of its digest keep it apart."""
PARTS = ("front_end", "backbone", "decode_head")
"""Options of a task that are parts of the tested network, in the order in which the data pass them."""
SPEAKING = ("name", "backbone", "config", "mixers")
"""Options whose value says what they are: the first of them stands without its name, before all others."""
LEADING = "pooling"
"""The option that comes before all others, which a long label cuts: networks that are compared differ in it alone."""
UNSAID = {"pretrained": False, "strict": True}
"""What goes without saying of where weights come from."""

_PLAIN_WORD = re.compile(r"(?!(?:True|False|None)$)[A-Za-z_][\w./-]*", re.ASCII)

Path = tuple[str | int, ...]


def block_label(experiment: Mapping[str, Any]) -> str:
    """What is plugged in where, such as ``SpectralNonlocal @ stage2.1``; ``none`` for a baseline."""

    def kind(plug: dict[str, Any]) -> tuple[str, str, bool]:
        return class_name(plug["block"]), plug["mode"], plug["gate"]

    parts = []
    for (name, mode, gate), plugs in groupby(experiment["model"]["init_args"].get("plugs", []), kind):
        sites = ", ".join(plug["at"] for plug in plugs)
        where = {"after": "@", "replace": "replaces"}.get(mode, mode)
        parts.append(f"{'gated ' if gate else ''}{name} {where} {sites}")
    return " + ".join(parts) or NO_BLOCK


def backbone_label(experiment: Mapping[str, Any]) -> str:
    """The network that blocks are plugged into, such as ``PreResNet(depth=20)``; empty if the task names none.

    Two networks have two labels: ``LogMel(n_mels=64) + PreResNet(depth=20)`` for an audio task,
    ``TimmFeatures(resnet50, output_stride=8) + FCNHead`` or the name of a stock configuration for segmentation. Heads
    that only train (``auxiliary_heads``) are no part of the tested network: :func:`differences` tells them apart.
    Where features are judged that stay as they are, the method follows: ``PreResNet(depth=20), frozen: linear``; where
    others were learned at once, what their sets are called: ``Isotropic(width=64), with scenes``.
    """
    arguments = experiment["model"]["init_args"]
    parts = [_named(arguments[part]) for part in PARTS if part in arguments]
    if "mmseg_config" in arguments:
        weights = {key: arguments[key] for key in ("mmseg_weights",) if key in arguments}
        parts.append(_call(_value(arguments["mmseg_config"]), weights))
    probe, together = experiment.get(PROBE), experiment.get(TOGETHER, {})
    others = ", ".join(name for name in together.get("sets", {}) if name != together.get("task"))
    frozen, learned = f", frozen: {probe['method']}" if probe else "", f", with {others}" if others else ""
    return " + ".join(parts) + frozen + learned


def class_name(node: Mapping[str, Any]) -> str:
    """Name of the class of a ``class_path``, ``init_args`` pair."""
    name: str = node["class_path"].rpartition(".")[2]
    return name


def differences(experiments: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells experiments apart that would have the same name otherwise.

    Returns:
        For each experiment the settings that it has and in which it differs from another: ``max_epochs=5, clips=3``.
    """
    flat = [_settings(experiment) for experiment in map(_with_sizes_named, _with_parents_named(experiments))]
    paths = dict.fromkeys(path for settings in flat for path in sorted(settings, key=str))
    varying = [path for path in paths if len({settings.get(path) for settings in flat}) > 1]
    names = _short(varying)
    return [
        ", ".join(f"{names[path]}={_cut(settings[path], 40)}" for path in varying if path in settings)
        for settings in flat
    ]


def _with_sizes_named(experiment: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with four digits for the sizes of the many layers of a pruned network, and bits of a quantised one."""
    model = experiment.get("model", {})
    options = model.get("init_args", {})
    named = {
        option: {**said, part: _digest(_value(said[part]))}
        for option, part in (("pruned", "sizes"), ("quantised", "bits"))
        if (said := options.get(option))
    }
    return {**experiment, "model": {**model, "init_args": {**options, **named}}} if named else experiment


def _with_parents_named(experiments: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same with one phrase for what each went on from, or began with: an objective is called by its name alone."""
    parents = [experiment.get(PARENT, {}) for experiment in experiments]
    used = Counter(by for by, _ in {(parent["by"], parent["experiment"]) for parent in parents if "by" in parent})
    named = [_origin(parent, used[parent.get("by")] == 1) for parent in parents]
    return [{**one, PARENT: name} if name else one for one, name in zip(experiments, named, strict=True)]


def _origin(parent: Mapping[str, Any], alone: bool) -> str:
    if "step" in parent:
        return f"{parent['experiment']} at step {parent['step']}"
    return parent.get("by", "") + ("" if alone or not parent else f" {parent['experiment']}")


def _named(node: Any) -> str:
    """A part of a network as a call: ``Name(option=value)``; mmsegmentation says ``type`` where others say class_path.

    A class of this package goes by its name, any other by its whole path; a word is a class with its defaults.
    """
    if isinstance(node, str):
        return _call(node, {})
    if "class_path" in node:
        options = node.get("init_args", {})
        return _call(node["class_path"], {key: value for key, value in options.items() if UNSAID.get(key) is not value})
    return _call(str(node["type"]), {key: value for key, value in node.items() if key != "type"})


def _call(name: str, options: Mapping[str, Any]) -> str:
    speaking = next((key for key in SPEAKING if key in options), None)
    said = [_value(options[speaking])] if speaking else []
    ordered = sorted(options, key=lambda key: (key != LEADING, key))
    said += [f"{_word(key)}={_value(options[key])}" for key in ordered if key != speaking]
    text = f"{name}({', '.join(said)})" if said else name
    if speaking == "mixers":
        said[0] = _kinds(options[speaking])
    shown = 1 if speaking else 0
    is_whole = text == f"{name}({', '.join(said)})" or not said
    if is_whole and (len(text) <= LONGEST or shown == len(said)):
        return text
    if isinstance(leading := options.get(LEADING), Mapping) and "class_path" in leading:
        said[shown] = f"{LEADING}={class_name(leading)}"
    while shown < len(said) and len(f"{name}({', '.join(said[: shown + 1])}, …0000)") <= LONGEST:
        shown += 1
    return f"{name}({', '.join([*said[:shown], f'…{_digest(text)}'])})"


def _kinds(mixers: Any) -> str:
    """The classes of a skeleton's mixers, each once; their options would be longer than all else."""
    listed = mixers if isinstance(mixers, list) else [mixers]
    kinds = [class_name(one) if isinstance(one, Mapping) and "class_path" in one else _value(one) for one in listed]
    return " + ".join(dict.fromkeys(kinds))


def _value(value: Any) -> str:
    """A value in a form that no other value has, and that is safe to print."""
    if isinstance(value, Mapping):
        if "class_path" in value or "type" in value:
            return _named(value)
        return "{" + ", ".join(f"{_word(key)}={_value(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _word(value) if isinstance(value, str) else str(value)


def _word(text: str) -> str:
    return text if _PLAIN_WORD.fullmatch(text) else json.dumps(text)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 5]}…{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:4]


def _settings(experiment: Mapping[str, Any]) -> dict[Path, str]:
    """Path to value, without the positions in a list where all its entries have the same value."""
    found = dict(_leaves(experiment, ()))
    together: dict[Path, set[str]] = {}
    for path, value in found.items():
        together.setdefault(_without_positions(path), set()).add(value)
    alike = {path for path, values in together.items() if len(values) == 1}
    return {short if (short := _without_positions(path)) in alike else path: value for path, value in found.items()}


def _leaves(node: Any, path: Path) -> Iterable[tuple[Path, str]]:
    if isinstance(node, Mapping):
        if "class_path" in node:
            yield path, node["class_path"]
            node = node.get("init_args", {})
        for key, child in node.items():
            yield from _leaves(child, (*path, key))
    elif isinstance(node, list) and any(isinstance(child, Mapping) for child in node):
        classes = [child["class_path"] for child in node if isinstance(child, Mapping) and "class_path" in child]
        all_named = len(classes) == len(node)
        yield path, _value(classes) if all_named else str(len(node))
        for position, child in enumerate(node):
            yield from _leaves(child.get("init_args", {}) if all_named else child, (*path, position))
    elif node or path != ("trainer", "callbacks"):  # that there are none goes without saying
        yield path, _value(node)


def _without_positions(path: Path) -> Path:
    return tuple(key for key in path if not isinstance(key, int))


def _short(paths: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of paths that tell them apart."""
    names = {path: ".".join(_word(str(key)) for key in path[-1:]) for path in paths}
    for length in range(2, max(map(len, paths), default=0) + 1):
        taken = Counter(names.values())
        for path in paths:
            if taken[names[path]] > 1:
                names[path] = ".".join(_word(str(key)) for key in path[-length:])
    return names
