"""What a training step of each objective costs beside the task's own: processor time, and what autograd keeps at once.

The rows of the studies of objectives, and their pretexts: networks, data and options as there, on one thread; a whole
step, the optimiser's with it, in turns. Kept bytes are those of ``local_learning.py``: without weights and their
gradients.

    OMP_NUM_THREADS=1 python benchmarks/objectives.py --csv benchmarks/results/objectives.csv
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import csv_files
import torch
from local_learning import peak_saved_bytes

from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import read_study
from blockyard.commands.study.names import objective_of
from blockyard.composing.composition import Composed
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI

STUDIES = ("digits", "spoken")
ROUNDS = 9


def step_of(config: dict[str, Any]) -> Callable[[], None]:
    """A training step of what a configuration says, on the first batch of its data."""
    cli = SuiteCLI(None, Composed(config))
    task: Any = cli.model.train()
    batch = next(iter(cli.datamodule.train_dataloader()))
    optimizer = task.optimizer(task.parameters())
    task.optimizers = lambda: optimizer
    task.manual_backward = lambda loss: loss.backward()
    task._trainer = SimpleNamespace(global_step=0)

    def step() -> None:
        if task.objective.steps_itself:
            task.objective.step(task, batch, 0)
            return
        loss, _ = task.objective.loss(task, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def configurations(study: str) -> dict[str, dict[str, Any]]:
    """The configuration of each objective of a study and of its pretexts, by its name."""
    found: dict[str, dict[str, Any]] = {}
    for part in ("objectives", "pretraining"):
        asked = read_study(f"studies/{study}-{part}.yaml")
        for cell in cells(asked)[: len(cells(asked)) // len(asked.seeds)]:
            arguments = cell.config["model"]["init_args"]
            objective = arguments.get("objective")
            options = objective.get("init_args", {}) if isinstance(objective, dict) else {}
            form = arguments["backbone"].get("init_args", {}).get("form")
            said = [f"{name} {options[name]}" for name in ("parts",) if name in options] + [form] * bool(form)
            found.setdefault(" ".join([objective_of(cell.config), *said]), cell.config)
    return found


def measured(study: str) -> list[dict[str, str]]:
    """A row for each objective: beside the task's own, which is the first."""
    torch.manual_seed(0)
    steps = {name: step_of(config) for name, config in configurations(study).items()}
    kept = {name: peak_saved_bytes(step) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:
                times[name].append(time.process_time() - start)
    own = statistics.median(times["labels"])
    return [
        {
            "study": study,
            "objective": name,
            "ms": f"{1000 * statistics.median(times[name]):.1f}",
            "times": f"{statistics.median(times[name]) / own:.2f}",
            "kept_MB": f"{kept[name] / 1e6:.2f}",
            "kept": f"{kept[name] / kept['labels']:.2f}",
            "torch": torch.__version__,
        }
        for name in steps
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    prepare()
    torch.set_num_threads(1)
    rows = [row for study in STUDIES for row in measured(study)]
    for row in rows:
        print(row)
    csv_files.write(options.csv, rows)


if __name__ == "__main__":
    main()
