"""What a study file says, and the configurations that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from blockyard.composing.config_files import read_config
from blockyard.composing.flat_options import laid_over, said_twice
from blockyard.mistakes import nearest

EXAMPLES = {
    "settings": "options such as {trainer.max_epochs: 5}",
    "variants": "options such as {data.fold: 1}",
    "backbones": "null, a name, or {backbone: PreResNet, backbone.depth: 8}",
    "plugs": "null, {block: SpectralNonlocal, at: stage2.1}, or a list of such",
}
"""What stands at the keys of a study file."""
ROWS = {"backbones": (("backbone",), ()), "plugs": (("block", "at"), ("mode", "gate"))}
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
            mean over them is printed too.
        note: Printed below the leaderboard.
    """

    config: str | list[str]
    plugs: list[Any]
    seeds: list[int]
    backbones: list[Any] = field(default_factory=lambda: [None])
    settings: dict[str, Any] = field(default_factory=dict)
    variants: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    note: str = ""

    @property
    def rows(self) -> int:
        """Experiments that are compared with each other: a backbone with a plug each."""
        return len(self.backbones) * len(self.plugs)

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
    for key in ("plugs", "seeds", "backbones", "variants"):
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
    missing = [name for name in needed if name not in options]
    return f"{missing[0]} is missing: expected {EXAMPLES[key]}" if missing else None


def configurations(study: Study) -> list[dict[str, Any]]:
    """A whole configuration for every run: seeds vary slowest, so that a study cut short still compares its rows."""
    bases = [laid_over(laid_over(read_config(name), study.settings), variant) for name, variant in study.sides]
    seeded = [base | {"seed_everything": seed} for seed in study.seeds for base in bases]
    backed = [_with_backbone(config, backbone) for config in seeded for backbone in study.backbones]
    return [_with_plugs(config, row) for config in backed for row in study.plugs]


def _with_backbone(base: dict[str, Any], backbone: Any) -> dict[str, Any]:
    if backbone is None:
        return base
    if isinstance(backbone, dict) and "class_path" not in backbone:
        backbone = laid_over({}, backbone).get("backbone")
    options = {**base["model"].get("init_args", {}), "backbone": _whole(backbone)}
    return {**base, "model": {**base["model"], "init_args": options}}


def _with_plugs(base: dict[str, Any], row: Any) -> dict[str, Any]:
    rows = [laid_over({}, plug) for plug in ([row] if isinstance(row, dict) else row or [])]
    plugs = [{**plug, "block": _whole(plug["block"])} if "block" in plug else plug for plug in rows]
    options = {**base["model"].get("init_args", {}), "block": None, "at": None, "plugs": plugs or None}
    return {**base, "model": {**base["model"], "init_args": options}}


def _whole(named: Any) -> Any:
    return {"class_path": named} if isinstance(named, str) else named
