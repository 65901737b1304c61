"""A study: every plug of a list with every backbone and every seed over one base configuration."""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import yaml

from blockyard.commands.study import local, slurm
from blockyard.commands.study.file import Study, configurations, read_study
from blockyard.commands.study.plan import Run, expected, plan, summary
from blockyard.commands.study.progress import Progress
from blockyard.composing.preparing import prepare
from blockyard.leaderboard import main as leaderboard
from blockyard.metrics import Metric, counted

__all__ = ["Study", "carry_out", "configurations", "main", "read_study"]


def main(options: Namespace, rest: list[str]) -> int:
    """Carry out a study, and print the leaderboard of its runs.

    Args:
        options: What :func:`~blockyard.commands.options.study` reads.
        rest: The other command line tokens, options of SLURM.

    Returns:
        0 if every run has its record in the end, or was submitted; 1 otherwise.

    Raises:
        ValueError: If the arguments or the study file are wrong.
    """
    resources = _resources(options, rest)
    study = read_study(options.study)
    prepare()
    asked = slurm.resources(options.slurm, resources) if options.launcher == "slurm" else {}
    planned = plan(study, Path(options.study).stem, options.dry_run)
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
        leaderboard([])
    if len(study.variants) > 1:
        print("\n".join(["", *_means(study, planned)]))
    if study.note:
        print(f"\n{study.note}")
    return 1 if failed else 0


def _resources(options: Namespace, rest: list[str]) -> dict[str, Any]:
    """What SLURM jobs are to ask for."""
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    resources: dict[str, Any] = {}
    tokens = iter(rest)
    for token in tokens:
        name, equals, value = token.partition("=")
        if not name.startswith("--slurm."):
            raise ValueError(f"a study takes one file and no {name}")
        if not equals and (value := next(tokens, "")) == "":
            raise ValueError(f"{name} needs a value")
        resources[name.removeprefix("--slurm.")] = yaml.safe_load(value)
    if options.launcher == "local" and (resources or options.slurm):
        raise ValueError("--slurm needs --launcher slurm")
    return resources


def _show(planned: list[Run | ValueError], asked: dict[str, Any] | None) -> int:
    for number, run in enumerate(planned, 1):
        what = f"{run.name} ({run.identity.run}): {run.state}" if isinstance(run, Run) else f"not possible: {run}"
        print(f"[{number}/{len(planned)}] {what}")
    left = [run for run in planned if isinstance(run, Run) and not run.record]
    if asked is not None and left:
        print(f"\nThe first job; the others differ in names only:\n\n{slurm.script(left[0], asked)}")
    return 1 if any(isinstance(run, ValueError) for run in planned) else 0


def _submit(planned: list[Run | ValueError], asked: dict[str, Any]) -> int:
    slurm.submit([(n, run) for n, run in enumerate(planned, 1) if isinstance(run, Run)], asked, len(planned))
    for number, run in enumerate(planned, 1):
        if isinstance(run, ValueError):
            print(f"[{number}/{len(planned)}] not possible: {run}")
    print("blockyard leaderboard shows the runs that have ended")
    return 1 if any(isinstance(run, ValueError) for run in planned) else 0


def carry_out(planned: list[Run | ValueError], jobs: int | None) -> None:
    """Carry out the runs that have no record, and say of each how it went.

    Args:
        planned: The runs; in place of one that is not possible, what is wrong with it.
        jobs: How many at a time, each in its own process; None: one after another, in this process if they allow it.
    """
    left = [run for run in planned if isinstance(run, Run) and not run.record]
    seconds, _ = expected(left, None)
    each = seconds / len(left) if seconds and left else None
    runs = [(number, run) for number, run in enumerate(planned, 1) if isinstance(run, Run)]
    with Progress(len(planned), len(left), jobs or 1, each) as progress:
        for number, run in enumerate(planned, 1):
            if isinstance(run, ValueError):
                progress.failed(number, str(run))
        if jobs is None and all(_takes_one_process(run) for run in left):
            local.in_process(runs, progress)
        else:
            local.in_processes(runs, progress, jobs or 1)


def _takes_one_process(run: Run) -> bool:
    """Whether Lightning will start no further processes, which would begin the study from its first run."""
    trainer = run.config["trainer"]
    return trainer["strategy"] == "auto" and trainer["devices"] in ("auto", 1, "1") and torch.cuda.device_count() <= 1


def _means(study: Study, planned: list[Run | ValueError]) -> list[str]:
    """For each row, its primary metric averaged over variants and seeds; a line each."""
    lines = []
    for row in range(study.rows):
        found = [run.record for run in planned[row :: study.rows] if isinstance(run, Run)]
        if records := [record for record in found if record]:
            values = [record.metrics[record.primary] for record in records]
            label = " on ".join([records[0].block] + ([records[0].backbone] if len(study.backbones) > 1 else []))
            lines.append(
                f"{label}: mean {records[0].primary} {mean_line(values, records[0].metric(records[0].primary))}"
            )
    return lines


def mean_line(values: list[float], metric: Metric) -> str:
    """Mean and standard deviation (n − 1) of scores, such as those of ten splits, and the scores themselves."""
    spread = f" ± {metric.text(statistics.stdev(values))}" if len(values) > 1 else ""
    unit = f" {metric.shown_unit}" if metric.shown_unit else ""
    each = ", ".join(map(metric.text, values))
    return f"{metric.text(statistics.fmean(values))}{spread}{unit} over {counted(len(values), 'run')} ({each})"
