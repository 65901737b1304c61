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
        variants: Settings of which each makes experiments of its own, such as the official splits of a data set; the
            mean over them is printed too.
        note: Printed below the leaderboard.
    """

    config: str
    plugs: list[Any]
    seeds: list[int]
    settings: dict[str, Any] = field(default_factory=dict)
    variants: list[dict[str, Any]] = field(default_factory=lambda: [{}])
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
    for key in ("plugs", "seeds", "variants"):
        if not isinstance(content.get(key, []), list):
            raise ValueError(f"{name}: {key} must be a list")
    return Study(**content)


def configurations(study: Study) -> list[dict[str, Any]]:
    """A whole configuration for every run: seeds vary slowest, so that a study cut short still compares its rows."""
    base = merge(read_config(study.config), study.settings)
    bases = [merge(base, variant) for variant in study.variants]
    seeded = [base | {"seed_everything": seed} for seed in study.seeds for base in bases]
    return [_with_plugs(config, row) for config in seeded for row in study.plugs]


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
    name = Path(arguments[0]).stem
    runs = [_attempt(config, f"[{number}/{len(configs)}]", name) for number, config in enumerate(configs, 1)]
    failed = runs.count(None)
    print(f"{len(configs)} runs, {failed} failed, {time.monotonic() - start:.0f} s\n")
    leaderboard([])
    if len(study.variants) > 1:
        print("\n".join(["", *_means(study, runs)]))
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


def _means(study: Study, runs: list[str | None]) -> list[str]:
    """For each row, its primary metric averaged over variants and seeds; a line each."""
    records = {record.run: record for record in read_all([RUNS / "records"])[0]}
    lines = []
    for row in range(len(study.plugs)):
        of_row = [records[run] for run in runs[row :: len(study.plugs)] if run is not None and run in records]
        if of_row:
            values = [record.metrics[record.primary] for record in of_row]
            each = ", ".join(f"{100 * value:.2f}" for value in values)
            mean = f"{100 * sum(values) / len(values):.2f} %"
            lines.append(f"{of_row[0].block}: mean {of_row[0].primary} {mean} over {len(values)} runs ({each})")
    return lines


def _attempt(config: dict[str, Any], place: str, study: str) -> str | None:
    """One run, after which the study goes on whatever happened; the run's hash, None if it failed."""
    try:
        with redirect_stdout(StringIO()):  # one line a run, in place of all that a single run prints
            said, run = _run(config, study)
    except Exception as error:  # one run must not take the others with it
        mistake = mistake_in(error)
        print(f"{place} failed: {mistake or repr(error)}", file=sys.stderr, flush=True)
        if mistake is None:
            traceback.print_exc()
        return None
    print(place, said, flush=True)
    return run


def _run(config: dict[str, Any], study: str) -> tuple[str, str]:
    """Train and test one configuration; a line that says how it went, and the run's hash."""
    config = merge(config, {"trainer": {"enable_progress_bar": False}})
    cli = SuiteCLI(None, Composed(config))
    name = cli.run_directory.name
    atomic.write(RUNS / "studies" / study / f"{name}.yaml", yaml.safe_dump(cli.run_config, sort_keys=False).encode())
    run = identity(cli.run_config).run
    if recorded(run):
        return f"{name}: has a record, skipped", run
    start = time.monotonic()
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=find_checkpoint("fit", "last", cli.run_directory))
    kind = "best" if len(cli.datamodule.split("val")) else "last"  # without validation, no checkpoint is the best
    tested = find_checkpoint("test", kind, cli.run_directory)
    (metrics,) = cli.trainer.test(cli.model, cli.datamodule, ckpt_path=tested, verbose=False)
    metric = f"test/{cli.model.primary_metric}"
    return f"{name}: {metric} {metrics[metric]:.4f}, {time.monotonic() - start:.0f} s", run


def recorded(run: str) -> bool:
    """Whether the run of this hash has a record."""
    return any(record.run == run for record in read_all([RUNS / "records"])[0])
