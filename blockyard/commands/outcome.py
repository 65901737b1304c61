"""What a training or a test came to, in a few lines, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from blockyard.composing.suite import SuiteCLI
from blockyard.leaderboard.console import console
from blockyard.metrics import metric_named, stated_by
from blockyard.progress import is_first_process
from blockyard.runs.keep_best import KeepBest
from blockyard.runs.keep_last import KeepLast


def say(verb: str, cli: SuiteCLI) -> None:
    """Print what ``fit``, ``validate`` or ``test`` came to, once."""
    if not is_first_process() or verb == "predict":
        return
    if verb != "fit":
        console().print(_table(cli, "val" if verb == "validate" else verb))
    for line in _next(verb, cli):
        print(line)


def _table(cli: SuiteCLI, stage: str) -> Table:
    """The metrics of a stage, each in its unit and with its decimals."""
    table = Table("metric", stage, box=None, pad_edge=False)
    table.columns[1].justify = "right"
    stated = stated_by(cli.model)
    scores = {
        metric_named(name.partition("/")[2], stated): float(value)
        for name, value in cli.trainer.callback_metrics.items()
        if name.startswith(f"{stage}/")
    }
    for metric in sorted(scores, key=lambda metric: metric.order):
        table.add_row(metric.heading, metric.text(scores[metric]))
    return table


def _next(verb: str, cli: SuiteCLI) -> Iterator[str]:
    """Which checkpoint is the best, and the next command."""
    trainer: Any = cli.trainer
    if verb == "test" and not trainer.fast_dev_run:
        yield "next: blockyard leaderboard"
    if trainer.fast_dev_run:
        yield f"the trial of {verb} went well; it leaves no checkpoint and no record"
    if verb != "fit" or trainer.fast_dev_run:
        return
    best: KeepBest = next(callback for callback in trainer.callbacks if isinstance(callback, KeepBest))
    last: KeepLast = next(callback for callback in trainer.callbacks if isinstance(callback, KeepLast))
    path = _from_here(Path(best.best_model_path or last.path))
    if best.best_model_path and best.best_model_score is not None:
        metric = cli.model.validated_metric
        score = f"{metric.text(float(best.best_model_score))} {metric.shown_unit}".rstrip()
        yield f"best val/{metric.name}: {score}, {path}"
    else:
        yield f"never validated, so no checkpoint is the best; the last: {path}"
    learns_labels = cli.model.objective.primary_metric is None
    yield f"next: blockyard {'test' if learns_labels else 'off-the-shelf'} --ckpt_path {path}"


def _from_here(path: Path) -> Path:
    """The path as a person here would type it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
