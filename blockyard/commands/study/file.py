"""What a study file says, and the configurations that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from blockyard.analysis.verdict import METHODS
from blockyard.composing.config_files import read_config
from blockyard.composing.flat_options import said_twice
from blockyard.mistakes import nearest

EXAMPLES = {
    "settings": "options such as {trainer.max_epochs: 5}",
    "variants": "options such as {data.fold: 1}",
    "backbones": "null, a name, or {backbone: PreResNet, backbone.depth: 8}",
    "pretraining": "null, or options such as {model.objective: Rotation, trainer.max_epochs: 5}",
    "probes": "a method and its options, such as {method: linear, strength: 0.01}",
    "plugs": "null, {block: SpectralNonlocal, at: stage2.1}, or a list of such",
}
"""What stands at the keys of a study file."""
ROWS = {
    "backbones": (("backbone",), ()),
    "plugs": (("block", "at"), ("mode", "gate")),
    "probes": (("method",), ("k", "strength", "positions")),
}
"""The options that a row needs, and those that it may have besides."""


@dataclass
class Study:
    """A grid over a base configuration, or over each of several.

    Options stand nested, as in a configuration, or flat, as on the command line (``model.optimizer.lr``).

    Attributes:
        config: Base configuration, a path or the short path of a packaged one; or several, each with data of its own.
        plugs: The rows: null (the baseline), a plug (block, at, mode, gate, and ``block.OPTION``) or a list of plugs.
        seeds: The seeds that each row is trained with.
        backbones: Each row is trained with each of these: a name, a class (class_path, init_args), or a name as
            ``backbone`` with each ``backbone.OPTION``; null is the base configuration's.
        settings: Laid over the base configuration.
        variants: Settings of which each makes experiments of its own, such as the official splits of a data set; the
            mean over them is printed too, where they are options of the data.
        pretraining: Each row begins with the weights of each of these trainings, options over all others; null is from
            scratch.
        probes: How what each row begins with is judged before it is trained, as ``off-the-shelf`` does.
        note: Printed below the leaderboard.
    """

    config: str | list[str]
    plugs: list[Any]
    seeds: list[int]
    backbones: list[Any] = field(default_factory=lambda: [None])
    settings: dict[str, Any] = field(default_factory=dict)
    variants: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    pretraining: list[dict[str, Any] | None] = field(default_factory=lambda: [None])
    probes: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""

    @property
    def sides(self) -> list[tuple[str, dict[str, Any]]]:
        """What the rows are compared on: each configuration with each variant."""
        names = [self.config] if isinstance(self.config, str) else self.config
        return [(name, variant) for name in names for variant in self.variants]


def read_study(name: str) -> Study:
    """Read a study file.

    Raises:
        ValueError: If it is missing, no YAML, or has wrong or missing keys.
    """
    content = read_config(name)
    allowed = list(Study.__dataclass_fields__)
    for key in content:
        if key not in allowed:
            raise ValueError(f"{name}: no key {key}; {nearest(key, allowed)}")
    if missing := [key for key in ("config", "plugs", "seeds") if not content.get(key)]:
        raise ValueError(f"{name}: {missing[0]} is missing or empty")
    for key in ("plugs", "seeds", "backbones", "variants", "pretraining", "probes"):
        if key in content and (not isinstance(content[key], list) or not content[key]):
            raise ValueError(f"{name}: {key} must be a list with something in it")
    names = content["config"]
    if not isinstance(names, str) and not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
        raise ValueError(f"{name}: config must be the name of a configuration, or a list of names, got {names!r}")
    for key, options in _sets_of_options(content):
        if problem := _problem(key, options):
            raise ValueError(f"{name}: {key}: {problem}")
    return Study(**content)


def _sets_of_options(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Everything in a study file that should be options, nested or flat, with the key that it stands at."""
    yield "settings", content.get("settings", {})
    for variant in content.get("variants", []):
        yield "variants", variant
    for backbone in content.get("backbones", []):
        if backbone is not None and not isinstance(backbone, str):
            yield "backbones", backbone
    for options in content.get("pretraining", []):
        if options is not None:
            yield "pretraining", options
    for probe in content.get("probes", []):
        yield "probes", probe
    for row in content["plugs"]:
        for plug in row if isinstance(row, list) else [] if row is None else [row]:
            yield "plugs", plug


def _problem(key: str, options: Any) -> str | None:
    """What is wrong with a set of options, in words."""
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        return f"expected {EXAMPLES[key]}, got {options!r:.80}"
    if twice := said_twice(options):
        return f"{twice} is said twice; an option stands nested or flat, once"
    if key not in ROWS or "class_path" in options:
        return None
    needed, others = ROWS[key]
    first = {name.partition(".")[0] for name in options}
    if wrong := sorted(first - {*needed, *others}):
        return f"no {wrong[0]}; {nearest(wrong[0], [*needed, *others])}"
    if missing := [name for name in needed if name not in options]:
        return f"{missing[0]} is missing: expected {EXAMPLES[key]}"
    if key == "probes" and options["method"] not in METHODS:
        return f"no method {options['method']!r}; {nearest(str(options['method']), METHODS)}"
    return None
