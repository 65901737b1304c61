"""What a study would do: its runs, and how far each is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from blockyard import files
from blockyard.analysis.probe import probe_of
from blockyard.analysis.verdict import Options
from blockyard.blocks.base import concrete_subclasses
from blockyard.commands.study.cells import Cell, cells
from blockyard.commands.study.file import Study
from blockyard.commands.study.names import names, objective_of
from blockyard.commands.study.run import record_of
from blockyard.composing.claim import holder
from blockyard.composing.composition import Composed, make_room, pairs
from blockyard.composing.data import build_data
from blockyard.composing.flat_options import laid_over
from blockyard.composing.judging import probed
from blockyard.composing.merging import merge
from blockyard.composing.resolving import resolve
from blockyard.composing.resuming import changes
from blockyard.composing.run_directories import RUNS, find_checkpoint, run_directory
from blockyard.leaderboard.identity import FINGERPRINTS, PARENT, SEED, SEEDS, Identity, identity
from blockyard.leaderboard.record import Record
from blockyard.mistakes import DataError
from blockyard.progress import at_work
from blockyard.tasks.base import Task


@dataclass(frozen=True)
class Run:
    """One training and test.

    Attributes:
        config: The resolved configuration.
        directory: Where it writes.
        identity: Its hashes.
        file: The configuration as a file, from which the run can be carried out alone.
        label: What people call it: block @ place, backbone, seed.
        row: Runs of one row differ in seed and variant alone.
        after: The :attr:`name` of the run that it begins with the weights of, if there is one.
    """

    config: dict[str, Any]
    directory: Path
    identity: Identity
    file: Path
    label: str
    row: int
    after: str | None = None

    @property
    def name(self) -> str:
        """What the run is called among folders and jobs."""
        return self.directory.name

    @property
    def log(self) -> Path:
        """What the run says goes here."""
        return self.directory / "log.txt"

    @property
    def record(self) -> Record | None:
        """The record of the run, if it has one that is valid."""
        return record_of(self.identity.run)

    @property
    def state(self) -> str:
        """How far it is, in words."""
        if self.record:
            return "has a record"
        if who := holder(self.directory):
            return f"is carried out by {who}"
        checkpoint = find_checkpoint("fit", "last", self.directory)
        return f"goes on from {checkpoint}" if checkpoint else "new"


@dataclass(frozen=True)
class Impossible:
    """A run whose configuration is not possible.

    Attributes:
        label: As that of a :class:`Run`.
        why: What is wrong with it, one line.
    """

    label: str
    why: str


def plan(study: Study, name: str, look_only: bool = False, line: Sequence[str] = ()) -> list[Run | Impossible]:
    """The runs of a study, in order; in place of one whose configuration is not possible, what is wrong with it.

    Args:
        study: The study.
        name: What it is called.
        look_only: Whether data that are not there yet stay so: of those made on first use, some take minutes.
        line: Command line tokens over every configuration.

    Raises:
        ValueError: If all runs are impossible for one reason, a run is because of ``line``, or runs would share a
            folder; one line.
    """
    runs: list[Run | Impossible] = []
    resolving = _Resolving(line, look_only)
    planned = cells(study)
    said = dict(pairs(line))
    labels = names(study, [replace(cell, config=laid_over(cell.config, said)) for cell in planned])
    with at_work(f"planning the runs of {name}", len(planned)) as step:
        for cell, label in zip(planned, labels, strict=True):
            step()
            before = None if cell.after is None else runs[cell.after]
            if isinstance(before, Impossible):  # neither is what would begin with it
                runs.append(Impossible(label, before.why))
                continue
            try:
                resolved = _staged(resolving, cell, before)
                directory = run_directory(resolved)
            except ValueError as mistake:
                if line and _is_possible(cell.config):
                    raise
                runs.append(Impossible(label, str(mistake)))
                continue
            file = RUNS / "studies" / name / f"{directory.name}.yaml"
            runs.append(
                Run(resolved, directory, identity(resolved), file, label, cell.row, before.name if before else None)
            )
    _refuse_whole(runs)
    return runs


def _staged(resolving: _Resolving, cell: Cell, before: Run | None) -> dict[str, Any]:
    """A configuration with everything that it leaves to defaults, what it begins with, and how it is judged."""
    config = cell.config
    if before:
        config = laid_over(config, {"model.backbone.weights": str(before.directory / "checkpoints" / "last.ckpt")})
    resolved = resolving(config)
    if before:
        of = before.identity
        changed = {option: then for option, (then, _) in changes(before.config, resolved).items()}
        hashes = {"experiment": of.experiment, "baseline": of.baseline, "run": of.run}
        resolved[PARENT] = {**hashes, "by": objective_of(before.config), "changed": changed}
    if cell.probe is None:
        return resolved
    asked = {name: value for name, value in cell.probe.items() if name != "method"}
    (kind,) = concrete_subclasses(Task, resolved["model"]["class_path"].rpartition(".")[2])
    probe, method = probe_of(kind), cell.probe["method"]
    probe.methods((method,), kind.__name__)
    return probed(resolved, probe.asked(method, Options(**asked)), trained=False)


def _refuse_whole(runs: Sequence[Run | Impossible]) -> None:
    """Refuse a study of which nothing can come.

    Raises:
        ValueError: One line.
    """
    reasons = {run.why if isinstance(run, Impossible) else "" for run in runs}
    if len(reasons) == 1 and (why := reasons.pop()):
        raise ValueError(why)
    possible = [run for run in runs if isinstance(run, Run)]
    folders = {run.directory: run for run in possible}
    if shared := [run for run in possible if folders[run.directory].identity != run.identity]:
        raise ValueError(
            f"trainer.default_root_dir: {shared[0].directory} would be the folder of several runs: leave it away, and "
            "each has its own"
        )


def _is_possible(config: dict[str, Any]) -> bool:
    try:
        resolve(Composed(config))
    except ValueError:
        return False
    return True


@dataclass
class _Resolving:
    """Gives configurations everything that they leave to defaults, and says which data they are about.

    It keeps what runs share: they are the same but for their seed, which the line may not say; and their data.

    Attributes:
        line: Command line tokens over every configuration.
        look_only: Whether data that are not there yet stay so.
    """

    line: Sequence[str]
    look_only: bool
    seedless: dict[str, dict[str, Any]] = field(default_factory=dict)
    fingerprints: dict[str, dict[str, str]] = field(default_factory=dict)

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        seed = config.get(SEED)
        known = _text({key: value for key, value in config.items() if key != SEED})
        if known not in self.seedless or type(seed) is not int or seed not in SEEDS:
            self.seedless[known] = self._resolved(deepcopy(config))
            seed = self.seedless[known][SEED]
        return deepcopy(self.seedless[known]) | {SEED: seed}

    def _resolved(self, config: dict[str, Any]) -> dict[str, Any]:
        make_room(config, self.line)
        composed = Composed(merge(config, {"trainer": {"enable_progress_bar": False}}), list(self.line))
        resolved = resolve(composed)
        _insist_on_record(resolved["trainer"])
        key = _text(resolved["data"])
        if key not in self.fingerprints:
            self.fingerprints[key] = _fingerprints(resolved["data"], self.look_only)
        found = self.fingerprints[key]
        return resolved | {FINGERPRINTS: found} if found else resolved


def _insist_on_record(trainer: dict[str, Any]) -> None:
    for option, whole in (("fast_dev_run", (None, False, 0)), ("limit_test_batches", (None, 1.0))):
        said = trainer.get(option)
        if said not in whole or (option == "limit_test_batches" and type(said) is int):
            raise ValueError(
                f"trainer.{option} {said}: it leaves no record of a run, and a study needs it; a trial that does is"
                " trainer.max_epochs 1 with trainer.limit_train_batches 1"
            )


def _text(options: Any) -> str:
    return json.dumps(options, sort_keys=True, default=repr)


def _fingerprints(data: dict[str, Any], look_only: bool) -> dict[str, str]:
    """Which data these are; nothing if they can't be read, which is for each run to say."""
    root = (data.get("init_args") or {}).get("root")
    if look_only and root and not Path(root).exists():
        return {}
    try:
        return build_data({"data": data}).fingerprints("train", "val", "test")
    except DataError:
        return {}


def write_configuration(run: Run) -> None:
    """Write the file that the run can be carried out from."""
    files.write(run.file, yaml.safe_dump(run.config, sort_keys=False).encode())
