"""What the runs of a study are called: block @ place, backbone, seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blockyard.commands.study.cells import Cell
from blockyard.commands.study.file import Study
from blockyard.leaderboard.identity import PROBE, canonical
from blockyard.leaderboard.labels import NO_BLOCK, backbone_label, block_label, class_name, differences
from blockyard.leaderboard.networks import readable


def names(study: Study, cells: Sequence[Cell]) -> list[str]:
    """A name for every run, such as ``SpectralNonlocal @ stage2.1, PreResNet-20, seed 0``.

    Of several configurations the name says which, and of experiments that would be called the same where they differ.

    Args:
        study: The study.
        cells: Its :func:`~blockyard.commands.study.cells.cells`.
    """
    count = len(cells) // len(study.seeds)  # the seeds vary slowest
    try:
        experiments = [canonical(cell.config | ({PROBE: cell.probe} if cell.probe else {})) for cell in cells[:count]]
        called = _called(study, cells, experiments)
    except (ValueError, KeyError, TypeError, AttributeError):  # the parser will say what is wrong with one of them
        called = [f"row {number}" for number in range(1, count + 1)]
    return [f"{name}, seed {seed}" for seed in study.seeds for name in called]


def _called(study: Study, cells: Sequence[Cell], experiments: Sequence[dict[str, Any]]) -> list[str]:
    networks = readable(map(backbone_label, experiments))
    said = []
    before = [experiments[cell.after] if cell.after is not None else None for cell in cells[: len(experiments)]]
    for cell, experiment, first in zip(cells, experiments, before, strict=False):
        block = block_label(experiment)
        several = not isinstance(study.config, str)
        where = [networks[backbone_label(experiment)], Path(cell.file).stem if several else ""]
        where += [f"after {objective_of(first)}"] if first else []
        said.append(("no block" if block == NO_BLOCK else block, ", ".join(filter(None, where))))
    return [
        ", ".join(filter(None, (f"{block} [{differing}]" if differing else block, where)))
        for (block, where), differing in zip(said, _differing(said, experiments), strict=True)
    ]


def objective_of(config: dict[str, Any]) -> str:
    """What a training minimises: the class of its objective; ``labels`` is the task's own loss."""
    objective = config["model"].get("init_args", {}).get("objective")
    return class_name(objective if isinstance(objective, dict) else {"class_path": objective or "labels"})


def _differing(said: Sequence[tuple[str, str]], experiments: Sequence[dict[str, Any]]) -> list[str]:
    """What tells experiments apart of which the same is said; nothing where it is said already."""
    alike = defaultdict(list)
    for number, name in enumerate(said):
        alike[name].append(number)
    found = [""] * len(said)
    for numbers in alike.values():
        for number, differing in zip(numbers, differences([experiments[n] for n in numbers]), strict=True):
            found[number] = differing
    return found
