"""What a study file says, and the configurations that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from blockyard.composing.composition import merge, read_config
from blockyard.mistakes import nearest


@dataclass
class Study:
    """A grid over a base configuration, or over each of several.

    Attributes:
        config: Base configuration, a path or the short path of a packaged one; or several, each with data of its own.
        plugs: The rows: null (the baseline), a plug (block, at, mode, gate) or a list of plugs.
        seeds: The seeds that each row is trained with.
        backbones: Each row is trained with each of these, whole (class_path, init_args) or a name; null is the base
            configuration's.
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
    return Study(**content)


def configurations(study: Study) -> list[dict[str, Any]]:
    """A whole configuration for every run: seeds vary slowest, so that a study cut short still compares its rows."""
    names = [study.config] if isinstance(study.config, str) else study.config
    laid_over = [merge(read_config(name), study.settings) for name in names]
    bases = [merge(base, variant) for base in laid_over for variant in study.variants]
    seeded = [base | {"seed_everything": seed} for seed in study.seeds for base in bases]
    backed = [_with_backbone(config, backbone) for config in seeded for backbone in study.backbones]
    return [_with_plugs(config, row) for config in backed for row in study.plugs]


def _with_backbone(base: dict[str, Any], backbone: Any) -> dict[str, Any]:
    if backbone is None:
        return base
    options = {**base["model"].get("init_args", {}), "backbone": _whole(backbone)}
    return {**base, "model": {**base["model"], "init_args": options}}


def _with_plugs(base: dict[str, Any], row: Any) -> dict[str, Any]:
    rows = [row] if isinstance(row, dict) else row or []
    plugs = [{**plug, "block": _whole(plug["block"])} if "block" in plug else plug for plug in rows]
    options = {**base["model"].get("init_args", {}), "block": None, "at": None, "plugs": plugs or None}
    return {**base, "model": {**base["model"], "init_args": options}}


def _whole(named: Any) -> Any:
    return {"class_path": named} if isinstance(named, str) else named
