"""The configurations that follow from a study: a row, a variant and a seed each, and what comes before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, product
from typing import Any

from blockyard.commands.study.file import Study
from blockyard.composing.config_files import read_config
from blockyard.composing.flat_options import laid_over


@dataclass(frozen=True)
class Cell:
    """One training, or one judgement of what a training begins with.

    Attributes:
        config: The whole configuration, as it is written.
        file: The base configuration.
        row: Cells of one row differ in seed and variant alone.
        probe: How frozen features are judged; None for a training.
        after: Position of the cell that it begins with the weights of; None for those that it was built with.
    """

    config: dict[str, Any]
    file: str
    row: int
    probe: dict[str, Any] | None = None
    after: int | None = None


def cells(study: Study) -> list[Cell]:
    """Everything to be carried out, in order: seeds vary slowest, so that a study cut short still compares its rows.

    What trainings begin with comes before them, once where variants have the same.
    """
    found: list[Cell] = []
    trained: dict[str, int] = {}
    for seed, (file, variant) in product(study.seeds, study.sides):
        base = laid_over(laid_over(read_config(file), study.settings), variant) | {"seed_everything": seed}
        rows = count()
        for backbone, options, plugs in product(study.backbones, study.pretraining, study.plugs):
            config = _with_plugs(_with_backbone(base, backbone), plugs)
            after = None
            if options is not None:
                before = _with_plugs(_with_backbone(laid_over(base, options), backbone), plugs)
                after = trained.setdefault(repr(before), len(found))
                row = next(rows)
                found += [Cell(before, file, row)] if after == len(found) else []
            found += [Cell(config, file, next(rows), probe, after) for probe in (*study.probes, None)]
    return found


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
