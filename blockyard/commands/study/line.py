"""The command line of a study: options of SLURM, and options of the configuration for every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from blockyard.commands.study.file import Study
from blockyard.composing.composition import pairs
from blockyard.composing.flat_options import option_names

REFUSED = {
    "config": "the study file names the configuration, under config",
    "seed_everything": "the study file names the seeds, under seeds",
    "model": "the study file names the task, by its configuration",
    "model.plugs": "the study file names the blocks, under plugs",
    "model.block": "the study file names the blocks, under plugs",
    "model.at": "the study file names the blocks, under plugs",
    "trainer.default_root_dir": "each run of a study has a folder of its own",
    "trust_config": "each run is carried out from a file, and no file can say whom you trust",
    "model.trust_config": "each run is carried out from a file, and no file can say whom you trust",
}
"""What can't be said for all runs of a study at once, and why."""


def divide(tokens: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What SLURM jobs are to ask for, and the tokens of the configuration's options.

    Raises:
        ValueError: If something is neither, or lacks a value; one line.
    """
    resources: dict[str, Any] = {}
    line: list[str] = []
    for name, value in _options(tokens):
        if not name.startswith("--"):
            raise ValueError(f"a study takes one file and no {name}")
        if value is None:
            raise ValueError(f"{name} needs a value")
        if name.startswith("--slurm."):
            resources[name.removeprefix("--slurm.")] = yaml.safe_load(value)
        else:
            line.append(f"{name}={value}")
    return resources, line


def _options(tokens: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each option with its value, where it has one; a word that belongs to none by itself."""
    left = list(tokens)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if equals or not name.startswith("--"):
            yield name, value
        else:
            yield name, left.pop(0) if left and not left[0].startswith("--") else None


def refuse(study: Study, line: Sequence[str]) -> None:
    """Refuse options that can't be said for all runs at once, such as what the study's rows differ in.

    Raises:
        ValueError: One line.
    """
    varied = {
        name: f"the study file says it, under {key}"
        for key, sets in (("pretraining", study.pretraining), ("variants", study.variants))
        for options in sets
        for name in option_names(options or {})
    }
    if study.backbones != [None]:
        varied["model.backbone"] = "the study file names the networks, under backbones"
    for key, _ in pairs(line):
        (said,) = option_names({key: None})
        why = REFUSED.get("model.block" if said.startswith("model.block.") else said) or varied.get(said)
        why = why or next((varied[name] for name in varied if name.startswith(f"{said}.")), None)
        if why:
            raise ValueError(f"--{key}: {why}")
