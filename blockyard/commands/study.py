"""A study: every plug of a list with every seed of a list over one base configuration, in one process."""

from __future__ import annotations

import sys
import time
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from blockyard.commands.composition import Composed, merge, read_config
from blockyard.commands.training import RUNS, SuiteCLI, find_checkpoint, prepare
from blockyard.leaderboard import atomic
from blockyard.leaderboard import main as leaderboard
from blockyard.leaderboard.identity import identity
from blockyard.leaderboard.record import read_all
from blockyard.mistakes import mistake_in, nearest

USAGE = "usage: blockyard study STUDY.yaml"


@dataclass
class Study:
    """What a study file says.

    Attributes:
        config: Base configuration, a path or the short path of a packaged one.
        plugs: The rows: null (the baseline), a plug (block, at, mode, gate) or a list of plugs.
        seeds: The seeds that each row is trained with.
        settings: Laid over the base configuration.
        note: Printed below the leaderboard.
    """

    config: str
    plugs: list[Any]
    seeds: list[int]
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""


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
    if not isinstance(content["plugs"], list) or not isinstance(content["seeds"], list):
        raise ValueError(f"{name}: plugs and seeds must be lists")
    return Study(**content)


def configurations(study: Study) -> list[dict[str, Any]]:
    """A whole configuration for every run: seeds vary slowest, so that a study cut short still compares its rows."""
    base = merge(read_config(study.config), study.settings)
    return [_with_plugs(base, row) | {"seed_everything": seed} for seed in study.seeds for row in study.plugs]


def main(arguments: list[str]) -> int:
    """Carry out a study, and print the leaderboard of its runs.

    Args:
        arguments: Command line tokens after the verb: the study file.

    Returns:
        0 if every run has its record in the end, 1 otherwise.

    Raises:
        ValueError: If the arguments or the study file are wrong.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{USAGE}\n\n{__doc__}\nRuns that have a record already are skipped; a stopped run goes on where it was.")
        return 0
    if len(arguments) != 1:
        raise ValueError(f"a study takes one file; {USAGE}")
    study = read_study(arguments[0])
    prepare()
    configs = configurations(study)
    start = time.monotonic()
    failed = 0
    for number, config in enumerate(configs, 1):
        failed += not _attempt(config, f"[{number}/{len(configs)}]", Path(arguments[0]).stem)
    print(f"{len(configs)} runs, {failed} failed, {time.monotonic() - start:.0f} s\n")
    leaderboard([])
    if study.note:
        print(f"\n{study.note}")
    return 1 if failed else 0


def _with_plugs(base: dict[str, Any], row: Any) -> dict[str, Any]:
    plugs = [_whole(plug) for plug in ([row] if isinstance(row, dict) else row or [])]
    options = {**base["model"].get("init_args", {}), "block": None, "at": None, "plugs": plugs or None}
    return {**base, "model": {**base["model"], "init_args": options}}


def _whole(plug: dict[str, Any]) -> dict[str, Any]:
    block = plug.get("block")
    return {**plug, "block": {"class_path": block}} if isinstance(block, str) else plug


def _attempt(config: dict[str, Any], place: str, study: str) -> bool:
    """One run, after which the study goes on whatever happened."""
    try:
        with redirect_stdout(StringIO()):  # one line a run, in place of all that a single run prints
            said = _run(config, study)
    except Exception as error:  # one run must not take the others with it
        mistake = mistake_in(error)
        print(f"{place} failed: {mistake or repr(error)}", file=sys.stderr, flush=True)
        if mistake is None:
            traceback.print_exc()
        return False
    print(place, said, flush=True)
    return True


def _run(config: dict[str, Any], study: str) -> str:
    """Train and test one configuration; a line that says how it went."""
    config = merge(config, {"trainer": {"enable_progress_bar": False}})
    cli = SuiteCLI(None, Composed(config))
    name = cli.run_directory.name
    atomic.write(RUNS / "studies" / study / f"{name}.yaml", yaml.safe_dump(cli.run_config, sort_keys=False).encode())
    if recorded(cli.run_config):
        return f"{name}: has a record, skipped"
    start = time.monotonic()
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=find_checkpoint("fit", "last", cli.run_directory))
    best = find_checkpoint("test", "best", cli.run_directory)
    (metrics,) = cli.trainer.test(cli.model, cli.datamodule, ckpt_path=best, verbose=False)
    metric = f"test/{cli.model.primary_metric}"
    return f"{name}: {metric} {metrics[metric]:.4f}, {time.monotonic() - start:.0f} s"


def recorded(config: dict[str, Any]) -> bool:
    """Whether a run with this resolved configuration has a record."""
    run = identity(config).run
    return any(record.run == run for record in read_all([RUNS / "records"])[0])
