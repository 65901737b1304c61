"""What a run loses when it is stopped anywhere, which should be nothing.

Small runs go undisturbed; then again, each stopped at a random batch, once or twice, and continued by the very same
line. A stop is a SIGTERM, a ``kill -9`` while the checkpoint of every ten minutes is written every few batches, or the
end of ``max_time``; half of them at the borders of an epoch: its first and its last batch, in a validation, after it.
All that both leave must be the same, but for what is measured by the clock: every tensor and number in the best and
the last checkpoint (weights, both sets of EMA, optimiser, schedule, patience, best score), every logged value, and the
record of a test.

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
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, Timer

from blockyard.cli import main
from blockyard.composing.suite import SuiteCLI
from blockyard.datamodules.samples.speech_layout import write_wav
from blockyard.datamodules.samples.tiny_audio import chord
from blockyard.datamodules.samples.tiny_pedestrians import write_tiny_pedestrians

MEASURED = (
    "throughput",
    "training_seconds",
    "peak_memory",
    "finished",
    "checkpoint_sha256",
    "commit",
    "Timer",
    "loops",
)
"""Parts of records and checkpoints that need not be equal: what the clock says, what holds it, the source, which may be
edited meanwhile, and how Lightning counted on its way."""
CODES = {"SIGTERM": (75,), "SIGKILL": (-signal.SIGKILL,), "max_time": (0,)}
"""Exit codes of a run that is stopped so."""
EPOCHS = 4
HOOKS = ("train_batch_start", "train_batch_end", "validation_batch_end", "validation_end", "train_epoch_end")
OPTIONS = ((1, None), (2, None), (1, 2), (2, 3))
"""Batches of a step, and batches from one validation to the next: None validates at the end of each epoch."""
OPTIMIZER = {"class_path": "AdamW", "init_args": {"lr": 0.01, "weight_decay": 0.01}}
SHARED = {"block": None, "at": None, "optimizer": OPTIMIZER, "lr_scheduler": "cosine", "warmup_epochs": 1}
TASKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "digits": (
        {
            "class_path": "ImageClassification",
            "init_args": {
                "backbone": {"class_path": "PreResNet", "init_args": {"depth": 8, "dropout": 0.5}},
                "mixing": {"mixup_alpha": 0.2, "cutmix_alpha": 1.0},
            },
        },
        {"class_path": "Digits", "init_args": {"variant": "8x8", "batch_size": 204}},
    ),
    "people": (
        {
            "class_path": "PersonReID",
            "init_args": {"backbone": {"class_path": "PreResNet", "init_args": {"depth": 8, "stem_stride": 2}}},
        },
        {
            "class_path": "Market1501",
            "init_args": {
                **{"root": "people", "verify": False, "size": [32, 16], "pad": 2, "val_identities": 4},
                **{"batch_size": 8, "instances": 2, "num_workers": 0},
            },
        },
    ),
    "tags": (
        {
            "class_path": "AudioTagging",
            "init_args": {
                "front_end": {
                    "class_path": "LogMel",
                    "init_args": {"sample_rate": 4000, "n_mels": 16, "freq_mask": 3, "time_mask": 4},
                },
                "backbone": {"class_path": "PreResNet", "init_args": {"depth": 8, "dropout": 0.2, "stem_stride": 2}},
            },
        },
        {
            "class_path": "AudioCSV",
            "init_args": {
                **{"manifest": "sounds/list.csv", "sample_rate": 4000, "duration": 0.5, "shift": 0.1},
                **{"gain": [-6, 6], "batch_size": 10, "num_workers": 0},
            },
        },
    ),
}


@dataclass(frozen=True)
class Line:
    """What is run: the same for the undisturbed run and for those that are stopped."""

    task: str
    processes: int
    accumulate: int
    validate_every: int | None

    def write(self, folder: Path, data: Path) -> None:
        """Make the run's folder, with its configuration."""
        model, module = TASKS[self.task]
        paths = {
            name: str(data / module["init_args"][name]) for name in {"root", "manifest"} & set(module["init_args"])
        }
        trainer = {
            **{"max_epochs": EPOCHS, "accumulate_grad_batches": self.accumulate, "log_every_n_steps": 1},
            **{"accelerator": "cpu", "devices": self.processes, "strategy": "ddp" if self.processes > 1 else "auto"},
            **{"val_check_interval": self.validate_every or 1.0, "enable_progress_bar": False},
            "max_time": "01:00:00:00",
            "callbacks": [
                {"class_path": "EMA", "init_args": {"decay": 0.8}},
                {"class_path": "StopEarly", "init_args": {"patience": 3}},
            ],
        }
        config = {
            "model": {**model, "init_args": {**SHARED, **model["init_args"]}},
            "data": {**module, "init_args": {**module["init_args"], **paths}},
            "trainer": trainer,
        }
        folder.mkdir()
        (folder / "run.yaml").write_text(yaml.safe_dump(config))


@dataclass(frozen=True)
class Stop:
    """Where and how a run is stopped."""

    kind: str
    hook: str
    epoch: int
    batch: int
    late: bool = False
    """Whether after all other callbacks, those that write checkpoints included."""
    rank: int = 0
    keep_every: int = 1
    """Batches from one checkpoint of "every ten minutes" to the next."""

    def __str__(self) -> str:
        when = "after" if self.late else "before"
        return f"{self.kind} at {self.epoch}:{self.batch} {self.hook}, {when} the others, rank {self.rank}"


class Stopping(Callback):
    """Carries out a stop, in the process of the run."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        setattr(self, f"on_{stop.hook}", self._look)

    def _look(self, trainer: Any, *_: Any) -> None:
        if (trainer.current_epoch, trainer.fit_loop.batch_idx) != (self.stop.epoch, self.stop.batch):
            return
        if self.stop.kind == "max_time":
            end_time(trainer)
        elif trainer.global_rank == self.stop.rank and self.stop.kind == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        elif trainer.global_rank == self.stop.rank:
            os.killpg(0, signal.SIGKILL)  # as a lost machine would: all ranks


class StoppingLate(Stopping, Checkpoint):
    """Carries it out after all other callbacks: Lightning calls those that write checkpoints last."""


class KeepOften(Callback):
    """Has the checkpoint of every ten minutes written every so many batches instead."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Let it be time, or not."""
        keep_after(trainer, timedelta(microseconds=1) if (batch_idx + 1) % self.batches == 0 else timedelta(days=1))


def keep_after(trainer: Any, time: timedelta) -> None:
    """Have the next checkpoint written after such a time."""
    try:
        from blockyard.runs import keep_last
    except ImportError:
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback._train_time_interval is not None:
                callback._train_time_interval = time
    else:
        keep_last.EVERY = time


def end_time(trainer: Any) -> None:
    """Let ``max_time`` be over."""
    for callback in trainer.callbacks:
        if isinstance(callback, Timer):
            callback._duration = 0.0
        elif hasattr(callback, "max_time"):
            callback.max_time = timedelta(0)


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
        sys.exit(blockyard(*sys.argv[2:3], sys.argv[3:]))

    process = multiprocessing.get_context("fork").Process(target=forked)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def train(folder: Path, stop: Stop | None = None) -> int:
    """Begin the run, or go on with it."""
    return run(folder, "fit", "--config", "run.yaml", "--ckpt_path", "last", stop=stop)


def left(folder: Path) -> dict[str, Any]:
    """All that a run leaves."""
    if run(folder, "test", "--ckpt_path", str(next(folder.glob("runs/*/checkpoints/best.ckpt"), "none"))):
        return {"test": (folder / "log").read_text().splitlines()[-1]}
    checkpoints = {path.name: torch.load(path, weights_only=True) for path in folder.glob("runs/*/checkpoints/*")}
    records = [json.loads(path.read_bytes()) for path in sorted(folder.glob("runs/records/*.json"))]
    return {**moved(checkpoints, folder), "log": logged(folder), "records": records}


def moved(value: Any, folder: Path) -> Any:
    """A nest whose paths don't say in which folder the run is."""
    if isinstance(value, dict):
        return {moved(key, folder): moved(item, folder) for key, item in value.items() if "timedelta" not in str(key)}
    if isinstance(value, list | tuple):
        return [moved(item, folder) for item in value]
    return value.replace(str(folder), "") if isinstance(value, str) else value


def logged(folder: Path) -> dict[str, list[str]]:
    """Every value by its column and step: what a resumed run repeats must be the same, so of equal ones one."""
    values = defaultdict(set)
    for path in folder.glob("runs/*/metrics/version_*/metrics.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            for column in row.keys() - {"step", "epoch"}:
                if row[column]:
                    values[f"{column} at {row['step']}"].add((row["epoch"], row[column]))
    return {key: sorted(of_step) for key, of_step in values.items()}


def unequal(one: Any, other: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where two nests differ, and how."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and one.shape == other.shape:
        if not torch.equal(one, other):
            yield path, f"off by {(one.double() - other.double()).abs().max():.2g}"
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in (one.keys() | other.keys()) - set(MEASURED):
            yield from unequal(one.get(key, "missing"), other.get(key, "missing"), *path, str(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from unequal(a, b, *path, str(number))
    elif repr(one) != repr(other):
        yield path, f"{str(other)[:60]}, not {str(one)[:60]}"


def differences(whole: dict[str, Any], stopped: dict[str, Any]) -> list[str]:
    """What a stopped run leaves otherwise than the undisturbed one; of many tensors or rows one, and their number."""
    found = defaultdict(list)
    for path, what in unequal(whole, stopped):
        group = path[:3] if path[1:2] == ("callbacks",) else path[:2] if path[0].endswith(".ckpt") else path[:1]
        found[group].append(f"{' '.join(key.partition('{')[0] for key in path)}: {what}")
    return sorted(sorted(of)[0] + (f" (and {len(of) - 1} more)" if of[1:] else "") for of in found.values())


def make_data(place: Path) -> None:
    """People and sounds."""
    write_tiny_pedestrians(place / "people", people=30)
    random, rows = np.random.default_rng(0), ["path,label,split"]
    for number in range(84):
        labels = sorted(random.choice(4, size=1 + number % 2, replace=False).tolist())
        sound = sum((chord(label, random, 0.6, 4000) for label in labels), random.normal(0, 0.5, 2400))
        write_wav(place / "sounds" / f"{number}.wav", np.asarray(sound), 4000)
        rows.append(
            f"{number}.wav,{';'.join(map(str, labels))},{'train' if number < 60 else ('val', 'test')[number % 2]}"
        )
    (place / "sounds" / "list.csv").write_text("\n".join(rows) + "\n")


def choose(line: Line, whole: dict[str, Any]) -> list[Stop]:
    """One random stop, or two, of a run that undisturbed came so far."""
    cost = whole["last.ckpt"]["training_cost"]
    an_epoch = round(cost["batches"] / cost["epochs"])
    every = line.validate_every or an_epoch
    anywhere, ends = range(cost["batches"]), range(an_epoch - 1, cost["batches"], an_epoch)
    borders = [number for number in anywhere if number % an_epoch in (0, an_epoch - 1)]
    validated = [number for number in anywhere if (number % an_epoch + 1) % every == 0]
    stops = []
    for _ in range(random.choice((1, 1, 2))):
        kind, hook = random.choice(("SIGTERM", "SIGKILL", "max_time")), random.choice(HOOKS)
        places = {"train_epoch_end": ends}.get(hook) or random.choice((anywhere, borders))
        places = validated if hook.startswith("validation") else places
        epoch, batch = divmod(random.choice(places), an_epoch)
        rank, keep_every = random.randrange(line.processes), random.randint(1, 4)
        stops.append(Stop(kind, hook, epoch, batch, random.random() < 0.5, rank, keep_every))
    return sorted(stops, key=lambda stop: (stop.epoch, stop.batch))


def at_step(folder: Path) -> int:
    """The step of the last checkpoint; 0 if there is none."""
    found = next(folder.glob("runs/*/checkpoints/last.ckpt"), None)
    return torch.load(found, weights_only=True)["global_step"] if found else 0


def stopped(folder: Path, stops: list[Stop]) -> tuple[list[int], list[str]]:
    """Stop a run and go on with it; from which steps, and what went wrong on the way."""
    steps, wrong = [], []
    for stop in stops:
        code = train(folder, stop)
        steps.append(at_step(folder))
        if code not in CODES[stop.kind]:
            wrong.append(f"{stop}: exit code {code}, {folder}/log")
    if code := train(folder):
        wrong.append(f"did not go on: exit code {code}, {(folder / 'log').read_text().splitlines()[-1]}")
    return steps, wrong


def compare() -> None:
    """Run undisturbed, run with stops, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stops", type=int, default=40, help="how many runs are stopped, once or twice each")
    parser.add_argument("--seed", type=int, default=0, help="of all choices")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--csv", type=Path, help="where the table goes")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        make_data(place)
        runs = measure(place, arguments.stops, arguments.tasks, arguments.processes)
        for row in runs:
            rows.append(row)
            print(*row.values(), sep=", ", flush=True)
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    bad = sum(row["result"] != "same" for row in rows)
    print(f"{len(rows)} runs with {sum(row['stops'].count(' at ') for row in rows)} stops: {bad} differ")
    sys.exit(1 if bad else 0)


def measure(place: Path, count: int, tasks: list[str], processes: list[int]) -> Iterator[dict[str, Any]]:
    """A row of the table for every run that is stopped."""
    whole: dict[Line, dict[str, Any]] = {}
    for number in range(count):
        line = Line(tasks[number % len(tasks)], random.choice(processes), *random.choice(OPTIONS))
        if line not in whole:
            folder = place / f"whole{len(whole)}"
            line.write(folder, place)
            if train(folder):
                sys.exit((folder / "log").read_text())
            whole[line] = left(folder)
        folder = place / str(number)
        line.write(folder, place)
        stops = choose(line, whole[line])
        steps, found = stopped(folder, stops)
        found = found or differences(whole[line], left(folder))
        yield {
            **asdict(line),
            "stops": " + ".join(map(str, stops)),
            "from_step": steps,
            "result": "; ".join(found) or "same",
        }


if __name__ == "__main__":
    sys.exit(blockyard(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["--child"] else compare())
