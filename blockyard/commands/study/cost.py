"""What the runs of a study will cost, judged by records."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import torch

from blockyard.commands.study.plan import Impossible, Run
from blockyard.commands.study.run import RECORDS
from blockyard.leaderboard.record import Record, described, read_all
from blockyard.metrics import counted
from blockyard.runs import machine


def expected(runs: Sequence[Run], hardware: str | None) -> tuple[float | None, int]:
    """Seconds that the training of some runs will take together, judged by records, and by how many of them.

    Args:
        runs: What is left to do.
        hardware: Only records of trainings on this count; None: on any.

    Returns:
        Seconds, None if no record helps for some run; number of records that were looked at.
    """
    records = [record for record in read_all([RECORDS])[0] if record.training_seconds and record.epochs]
    known = [record for record in records if hardware in (None, record.training_hardware)]
    each = [_expected(run, known) for run in runs]
    used = {record.run for _, used in each for record in used}
    seconds = [seconds for seconds, _ in each if seconds is not None]
    return (sum(seconds) if len(seconds) == len(runs) else None), len(used)


def _expected(run: Run, records: list[Record]) -> tuple[float | None, list[Record]]:
    """By records of the same experiment, else of the same with other blocks, else an epoch on the same data."""
    facts = described(run.config)
    for key in ("experiment", "baseline"):
        if alike := [record for record in records if getattr(record, key) == facts[key]]:
            return median(record.training_seconds or 0.0 for record in alike), alike
    alike = [record for record in records if all(getattr(record, k) == facts[k] for k in ("task", "data", "backbone"))]
    epochs = run.config["trainer"].get("max_epochs")
    if alike and epochs:
        return epochs * median((record.training_seconds or 0.0) / (record.epochs or 1.0) for record in alike), alike
    return None, []


def summary(runs: Sequence[Run | Impossible], jobs: int, anywhere: bool = False) -> str:
    """How many runs there are, how many are left, and what they will cost."""
    possible = [run for run in runs if isinstance(run, Run)]
    left = [run for run in possible if not run.record]
    counts = [counted(len(runs), "run"), f"{len(possible) - len(left)} with a record", f"{len(left)} to do"]
    wrong = len(runs) - len(possible)
    counts += [f"{wrong} not possible"] if wrong else []
    if not left:
        return ", ".join(counts)
    here = None if anywhere else machine.hardware(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    seconds, used = expected(left, here)
    place = "" if here is None else f" on {here}"
    if seconds is None:
        return f"{', '.join(counts)}; expected cost unknown: too few records of such runs{place}"
    return (
        f"{', '.join(counts)}; about {duration(seconds / jobs)} of training, judged by {counted(used, 'record')}{place}"
    )


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
