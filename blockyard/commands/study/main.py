"""``blockyard study``: what is to be done, here or on SLURM, and what came of it."""

from __future__ import annotations

import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from blockyard.commands.study import local, slurm
from blockyard.commands.study.cost import expected, summary
from blockyard.commands.study.file import Study, read_study
from blockyard.commands.study.line import divide, refuse
from blockyard.commands.study.plan import Impossible, Run, plan
from blockyard.commands.study.progress import Progress, once
from blockyard.composing.flat_options import option_names
from blockyard.composing.preparing import prepare
from blockyard.leaderboard.command import records_in
from blockyard.leaderboard.console import console
from blockyard.leaderboard.identity import PARENT
from blockyard.leaderboard.record import RECORDS, Record
from blockyard.leaderboard.tables import tables
from blockyard.leaderboard.terminal import print_tables
from blockyard.metrics import Metric, counted


def main(options: Namespace, rest: list[str]) -> int:
    """Carry out a study, and print the leaderboard of its runs.

    Args:
        options: What :func:`~blockyard.commands.options.study` reads.
        rest: The other command line tokens: options of SLURM, and of the configuration of every run.

    Returns:
        0 if every run has its record in the end, or was submitted; 1 otherwise.

    Raises:
        ValueError: If the arguments or the study file are wrong.
    """
    resources, line = divide(rest)
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    if options.launcher == "local" and (resources or options.slurm):
        raise ValueError("--slurm needs --launcher slurm")
    study = read_study(options.study)
    refuse(study, line)
    prepare()
    asked = slurm.resources(options.slurm, resources) if options.launcher == "slurm" else {}
    planned = plan(study, Path(options.study).stem, options.dry_run, line)
    print(summary(planned, options.jobs or 1, anywhere=options.launcher == "slurm"), flush=True)
    if options.dry_run:
        return _show(planned, asked if options.launcher == "slurm" else None)
    if options.launcher == "slurm":
        return _submit(planned, asked)
    start = time.monotonic()
    carry_out(planned, options.jobs)
    done = [run.record.run if isinstance(run, Run) and run.record else None for run in planned]
    failed = done.count(None)
    print(f"{counted(len(planned), 'run')}, {failed} failed, {time.monotonic() - start:.0f} s\n")
    if failed < len(planned):
        _compare({run.record.baseline for run in planned if isinstance(run, Run) and run.record})
    varied = {name for variant in study.variants for name in option_names(variant)}
    if len(study.variants) > 1 and all(name.startswith("data.") for name in varied):
        print("\n".join(["", *_means(study, planned)]))
    if study.note:
        print(f"\n{study.note}")
    return 1 if failed else 0


def _compare(baselines: set[str]) -> None:
    """The tables of what is on record with these baselines: an earlier study may have trained them."""
    found = records_in([RECORDS])
    concerned = [record for record in found if record.baseline in baselines]
    print_tables(tables(concerned, [RECORDS]), console(), ())
    if others := len(found) - len(concerned):
        print(f"\nblockyard leaderboard also shows {counted(others, 'other run')} on record")


def _show(planned: Sequence[Run | Impossible], asked: dict[str, Any] | None) -> int:
    for number, run in enumerate(planned, 1):
        if isinstance(run, Run):
            print(f"[{number}/{len(planned)}] {run.label} ({run.identity.run}): {run.state}")
    impossible = _tell_impossible(planned)
    left = [run for run in planned if isinstance(run, Run) and not run.record]
    if asked is not None and left:
        print(f"\nThe first job; the others differ in names only:\n\n{slurm.script(left[0], asked)}")
    return 1 if impossible else 0


def _submit(planned: Sequence[Run | Impossible], asked: dict[str, Any]) -> int:
    slurm.submit([(n, run) for n, run in enumerate(planned, 1) if isinstance(run, Run)], asked, len(planned))
    impossible = _tell_impossible(planned)
    print("blockyard leaderboard shows the runs that have ended")
    return 1 if impossible else 0


def _tell_impossible(planned: Sequence[Run | Impossible]) -> bool:
    """Say on standard error which runs are not possible, equal reasons once; whether there are any."""
    impossible = [(run.label, run.why) for run in planned if isinstance(run, Impossible)]
    for line in once("not possible", impossible):
        print(line, file=sys.stderr, flush=True)
    return bool(impossible)


def carry_out(planned: Sequence[Run | Impossible], jobs: int | None, helpers: int = 0) -> None:
    """Carry out the runs that have no record, and say of each how it went.

    Args:
        planned: The runs; in place of one that is not possible, what is wrong with it.
        jobs: How many at a time, each in its own process; None: one after another, in this process if they allow it.
        helpers: Other processes that carry out the same runs, for the time that is said to be left.
    """
    left = [run for run in planned if isinstance(run, Run) and not run.record]
    seconds, _ = expected(left, None)
    each = seconds / len(left) if seconds and left else None
    runs = [(number, run) for number, run in enumerate(planned, 1) if isinstance(run, Run)]
    _tell_impossible(planned)
    with Progress(len(planned), left, (jobs or 1) + helpers, each) as progress:
        if jobs is None and all(_takes_one_process(run) for run in left):
            local.in_process(runs, progress)
        else:
            local.in_processes(runs, progress, jobs or 1)


def _takes_one_process(run: Run) -> bool:
    """Whether Lightning will start no further processes, which would begin the study from its first run."""
    trainer = run.config["trainer"]
    strategy, devices = trainer.get("strategy", "auto"), trainer.get("devices", 1)
    return strategy == "auto" and devices in ("auto", 1, "1") and torch.cuda.device_count() <= 1


def _means(study: Study, planned: Sequence[Run | Impossible]) -> list[str]:
    """For each row, its primary metric averaged over variants and seeds; a line each."""
    lines = []
    rows: dict[int, list[Run]] = {}
    for run in planned:
        if isinstance(run, Run):
            rows.setdefault(run.row, []).append(run)
    for runs in rows.values():
        found = [run.record for run in runs]
        if records := [record for record in found if record]:
            values = [record.metrics[record.primary] for record in records]
            metric = records[0].metric(records[0].primary)
            lines.append(f"{_row_label(study, records[0])}: mean {records[0].primary} {mean_line(values, metric)}")
    return lines


def _row_label(study: Study, record: Record) -> str:
    """What tells a row from the study's others."""
    network = len(study.backbones) > 1 or bool(study.probes)
    parent = record.config.get(PARENT, {})
    return " ".join(
        [
            record.block,
            *([f"on {record.backbone}"] if network else []),
            *([f"after {parent['by']}"] if "by" in parent else []),
        ]
    )


def mean_line(values: list[float], metric: Metric) -> str:
    """Mean and standard deviation (n − 1) of scores, such as those of ten splits, and the scores themselves."""
    spread = f" ± {metric.text(statistics.stdev(values))}" if len(values) > 1 else ""
    unit = f" {metric.shown_unit}" if metric.shown_unit else ""
    each = ", ".join(map(metric.text, values))
    return f"{metric.text(statistics.fmean(values))}{spread}{unit} over {counted(len(values), 'run')} ({each})"
