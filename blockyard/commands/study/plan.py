"""What a study would do: its runs, how far each is, and what they will cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml

from blockyard import files
from blockyard.commands.study.file import Study, configurations
from blockyard.commands.study.names import names
from blockyard.commands.study.run import RECORDS, record_of
from blockyard.composing.claim import holder
from blockyard.composing.composition import Composed, make_room, pairs
from blockyard.composing.data import build_data
from blockyard.composing.flat_options import laid_over
from blockyard.composing.merging import merge
from blockyard.composing.resolving import resolve
from blockyard.composing.run_directories import RUNS, find_checkpoint, run_directory
from blockyard.leaderboard.identity import FINGERPRINTS, SEED, SEEDS, Identity, identity
from blockyard.leaderboard.record import Record, described, read_all
from blockyard.metrics import counted
from blockyard.mistakes import DataError
from blockyard.progress import at_work
from blockyard.runs import machine


@dataclass(frozen=True)
class Run:
    """One training and test.

    Attributes:
        config: The resolved configuration.
        directory: Where it writes.
        identity: Its hashes.
        file: The configuration as a file, from which the run can be carried out alone.
        label: What people call it: block @ place, backbone, seed.
    """

    config: dict[str, Any]
    directory: Path
    identity: Identity
    file: Path
    label: str

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
    configs = configurations(study)
    said = dict(pairs(line))
    labels = names(study, [laid_over(config, said) for config in configs])
    with at_work(f"planning the runs of {name}", len(configs)) as step:
        for config, label in zip(configs, labels, strict=True):
            step()
            try:
                resolved = resolving(config)
                directory = run_directory(resolved)
            except ValueError as mistake:
                if line and _is_possible(config):
                    raise
                runs.append(Impossible(label, str(mistake)))
                continue
            file = RUNS / "studies" / name / f"{directory.name}.yaml"
            runs.append(Run(resolved, directory, identity(resolved), file, label))
    _refuse_whole(runs)
    return runs


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
