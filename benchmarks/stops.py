"""What a run loses when it is stopped anywhere, which should be nothing.

Small runs go undisturbed; then again, each stopped at a random batch, once or twice, and continued by the very same
line. A stop is a SIGTERM, a ``kill -9`` while the checkpoint of every ten minutes is written every few batches, or the
end of ``max_time``; half of them at the borders of an epoch: its first and its last batch, in a validation, after it.
All that both leave must be the same, but for what the clock says: every tensor and number in the best and the last
checkpoint (both sets of EMA, optimiser, schedule, patience, best score), every logged value, the record of a test.

    python benchmarks/stops.py --stops 40
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # in every rank: the last bit of a sum depends on it

import argparse
import csv
import json
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from leavings import differences, leavings
from stopping import KeepOften, Stop, Stopping, StoppingLate

from blockyard.cli import main
from blockyard.composing.suite import SuiteCLI
from blockyard.samples.speech_layout import write_wav
from blockyard.samples.tiny_audio import chord
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians

CODES = {"SIGTERM": 75, "SIGKILL": -signal.SIGKILL, "max_time": 75}
"""Exit codes of a run that is stopped so."""
HOOKS = ("train_batch_start", "train_batch_end", "validation_batch_end", "validation_end", "train_epoch_end")
OPTIONS = ((1, None, -1), (2, None, -1), (1, 2, -1), (2, 3, -1), (1, None, 16), (2, None, 11))
"""Batches of a step; from one validation to the next, None for an epoch; ``max_steps``, which ends within an epoch."""
RUN = """
trainer:
  {{max_epochs: 4, max_steps: {max_steps}, max_time: "01:00:00:00", accumulate_grad_batches: {accumulate},
    val_check_interval: {validate_every}, accelerator: cpu, devices: {processes}, strategy: {strategy},
    log_every_n_steps: 1, enable_progress_bar: false,
    callbacks: [{{class_path: EMA, init_args: {{decay: 0.8}}}}, {{class_path: StopEarly, init_args: {{patience: 3}}}}]}}
model:
  class_path: {task}
  init_args:
    optimizer: {{class_path: AdamW, init_args: {{lr: 0.01, weight_decay: 0.01}}}}
    lr_scheduler: cosine
    warmup_epochs: 1
"""
TASKS = {
    "ImageClassification": """
    backbone: {class_path: PreResNet, init_args: {depth: 8, dropout: 0.5}}
    mixing: {mixup_alpha: 0.2, cutmix_alpha: 1.0}
data: {class_path: Digits, init_args: {variant: 8x8, batch_size: 204}}
""",
    "PersonReID": """
    backbone: {class_path: PreResNet, init_args: {depth: 8, stem_stride: 2}}
data:
  class_path: Market1501
  init_args: {root: PLACE/people, verify: false, val_identities: 4, size: [32, 16], pad: 2, batch_size: 8,
    instances: 2, num_workers: 0}
""",
    "AudioTagging": """
    front_end: {class_path: LogMel, init_args: {sample_rate: 4000, n_mels: 16, freq_mask: 3, time_mask: 4}}
    backbone: {class_path: PreResNet, init_args: {depth: 8, dropout: 0.2, stem_stride: 2}}
data:
  class_path: AudioCSV
  init_args: {manifest: PLACE/sounds/list.csv, sample_rate: 4000, duration: 0.5, shift: 0.1, gain: [-6, 6],
    batch_size: 10, num_workers: 0}
""",
}


@dataclass(frozen=True)
class Line:
    """What is run: the same for the undisturbed run and for those that are stopped."""

    task: str
    processes: int
    accumulate: int
    validate_every: int | None
    max_steps: int

    def write(self, folder: Path, data: Path) -> None:
        """Make the run's folder anew, with its configuration: all runs have the same, for checkpoints tell theirs."""
        options = {**asdict(self), "validate_every": self.validate_every or 1.0}
        text = RUN.strip("\n").format(**options, strategy="ddp" if self.processes > 1 else "auto")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "run.yaml").write_text(text + TASKS[self.task].replace("PLACE", str(data)))


def blockyard(plan: str, line: list[str]) -> int:
    """The command line, in whose trainer a stop may hang."""
    if fields := json.loads(plan):
        stop, callbacks = Stop(**fields), SuiteCLI._callbacks
        hung = [KeepOften(stop.keep_every), (StoppingLate if stop.late else Stopping)(stop)]
        SuiteCLI._callbacks = lambda self: [*callbacks(self), *hung]  # type: ignore[method-assign]
    return main(line)


def run(folder: Path, *line: str, stop: Stop | None = None) -> int:
    """Run a line in a process group of its own; its exit code.

    It is forked, which spares most of its time: the import of everything. Lightning starts further ranks by ``argv``.
    """

    def forked() -> None:
        os.setsid()
        os.chdir(folder)
        with Path("log").open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.argv = [str(Path(__file__).resolve()), "--child", json.dumps(stop and asdict(stop)), *line]
        sys.exit(blockyard(sys.argv[2], sys.argv[3:]))

    process = multiprocessing.get_context("fork").Process(target=forked)
    process.start()
    process.join()
    return process.exitcode  # type: ignore[return-value] # it has ended


def train(folder: Path, stop: Stop | None = None) -> int:
    """Begin the run, or go on with it."""
    return run(folder, "fit", "--config", "run.yaml", "--ckpt_path", "last", stop=stop)


def make_data(place: Path) -> None:
    """People and sounds."""
    write_tiny_pedestrians(place / "people", people=30)
    random, rows = np.random.default_rng(0), ["path,label,split"]
    for number in range(84):
        labels = sorted(random.choice(4, size=1 + number % 2, replace=False).tolist())
        sound = sum((chord(label, random, 0.6, 4000) for label in labels), random.normal(0, 0.5, 2400))
        write_wav(place / "sounds" / f"{number}.wav", np.asarray(sound), 4000)
        split = "train" if number < 60 else ("val", "test")[number % 2]
        rows.append(f"{number}.wav,{';'.join(map(str, labels))},{split}")
    (place / "sounds" / "list.csv").write_text("\n".join(rows) + "\n")


def choose(line: Line, batches: int, an_epoch: int) -> list[Stop]:
    """One random stop of a run that undisturbed has so many batches, or two, the second of them after the first."""
    every, stops, first = line.validate_every or an_epoch, list[Stop](), 0
    for _ in range(random.choice((1, 1, 2))):
        kind, hook, anywhere = random.choice(tuple(CODES)), random.choice(HOOKS), range(first, batches)
        borders = [number for number in anywhere if number % an_epoch in (0, an_epoch - 1)]
        validated = [number for number in anywhere if (number % an_epoch + 1) % every == 0]
        ends = [number for number in anywhere if number % an_epoch == an_epoch - 1]
        places = {"train_epoch_end": ends, "train": random.choice((anywhere, borders)), "validation": validated}
        if not (possible := places.get(hook) or places[hook.partition("_")[0]]):
            break
        place = random.choice(possible)
        rank, keep_every = random.randrange(line.processes), random.randint(1, 4)
        stops.append(Stop(kind, hook, place, random.random() < 0.5, rank, keep_every))
        first = place + 2 * line.accumulate  # by then it has left, whatever it waited for
    return stops


def tested(folder: Path) -> dict[str, Any]:
    """All that a run leaves, once its best checkpoint is tested."""
    best = next(folder.glob("runs/*/checkpoints/best.ckpt"), "best")
    return {"test": tail(folder)} if run(folder, "test", "--ckpt_path", str(best)) else leavings(folder)


def last(folder: Path) -> dict[str, Any]:
    """The last checkpoint; nothing if there is none."""
    path = next(folder.glob("runs/*/checkpoints/last.ckpt"), None)
    return torch.load(path, weights_only=True) if path else {}


def at_step(folder: Path) -> int:
    """The step of the last checkpoint; 0 if there is none."""
    return last(folder).get("global_step", 0)


def batches_of(folder: Path) -> int:
    """Batches that a run had in all."""
    return last(folder)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]


def tail(folder: Path) -> str:
    """The last line that a run said."""
    return (folder / "log").read_text().splitlines()[-1]


def stopped(folder: Path, stops: list[Stop], last: int) -> tuple[list[int], list[str]]:
    """Stop a run and go on with it; from which steps, and what went wrong on the way."""
    steps, wrong = [], []
    for stop in stops:
        code = train(folder, stop)
        steps.append(at_step(folder))
        # who asks from the first batch of the last step on finds that the run ends by itself
        ended = code == 0 and stop.kind != "SIGKILL" and stop.number >= last
        if code != CODES[stop.kind] and not ended:
            wrong.append(f"{stop}: exit code {code}, {tail(folder)}")
    if code := train(folder):
        wrong.append(f"did not go on: exit code {code}, {tail(folder)}")
    return steps, wrong


def compare() -> int:
    """Run undisturbed, run with stops, compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stops", type=int, default=40, help="how many runs are stopped, once or twice each")
    parser.add_argument("--seed", type=int, default=0, help="of all choices")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--csv", type=Path, help="where the table goes")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        make_data(Path(name))
        rows = list(measure(Path(name), arguments.stops, arguments.tasks, arguments.processes))
    with (arguments.csv or Path(os.devnull)).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([rows[0].keys(), *(row.values() for row in rows)])
    bad = sum(row["result"] != "same" for row in rows)
    print(f"{len(rows)} runs, stopped {sum(row['stops'].count(' at ') for row in rows)} times: {bad} differ")
    return 1 if bad else 0


def measure(place: Path, count: int, tasks: list[str], processes: list[int]) -> Iterator[dict[str, Any]]:
    """A row of the table for every run that is stopped."""
    folder, undisturbed = place / "run", dict[Line, tuple[dict[str, Any], int]]()
    for number in range(count):
        line = Line(tasks[number % len(tasks)], random.choice(processes), *random.choice(OPTIONS))
        if line not in undisturbed:
            line.write(folder, place)
            if train(folder):
                sys.exit((folder / "log").read_text())
            undisturbed[line] = tested(folder), batches_of(folder)
        (whole, batches) = undisturbed[line]
        stops = choose(line, batches, an_epoch := round(batches / whole["last.ckpt"]["training_cost"]["epochs"]))
        line.write(folder, place)
        steps, found = stopped(folder, stops, batches - line.accumulate)
        found = found or differences(whole, tested(folder))
        told = {"batches": f"{batches} of {an_epoch} an epoch", "stops": " + ".join(map(str, stops))}
        row = {**asdict(line), **told, "from_step": steps, "result": "; ".join(found) or "same"}
        print(*row.values(), sep=", ", flush=True)
        yield row


if __name__ == "__main__":
    sys.exit(blockyard(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["--child"] else compare())
