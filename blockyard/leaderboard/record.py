"""The record of a run: what it is, and how it is written and read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from blockyard import files
from blockyard.leaderboard.identity import canonical, fingerprints_of, identity_of, seed_of
from blockyard.leaderboard.labels import backbone_label, block_label, class_name
from blockyard.leaderboard.validation import FIELDS, LATER, OMITTED, SCHEMA, SCHEMAS, field_problems, metric_of
from blockyard.metrics import Metric, metric_named
from blockyard.mistakes import printable

RECORDS = Path("runs/records")
"""Where runs leave their records."""
LARGEST = 4 * files.MIB
"""Bytes that a record may have."""
LABELS = ("backbone", "block")
"""What the leaderboard calls things: a reader goes by the configuration, so that a better label breaks no record."""


class RecordError(ValueError):
    """A record that can't be trusted; the message has one line a problem."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trained and tested network; a JSON file.

    What describes the run follows from ``config`` alone (:func:`described`), and reading checks that it does.
    :data:`blockyard.leaderboard.validation.FIELDS` says what every field may hold.

    Attributes:
        task: Class of the task.
        data: Class of the data module.
        backbone: Backbone and its options; empty if the task has none.
        block: What is plugged in where; ``none`` for a baseline.
        plugs: The blocks with all their options, one entry a site.
        experiment: Hash of the configuration without seed, paths and machine.
        baseline: Hash of the same experiment with no block plugged in.
        run: Hash of experiment and seed.
        seed: The seed.
        repeat: 0 for the first record of a run in its folder, then 1, 2, …: compared, never averaged in.
        metrics: Name to value on the test split: fractions, or what ``scales`` says.
        primary: The metric that the leaderboard ranks by.
        higher_is_better: Whether more of the primary metric is better.
        scales: Name to unit, bounds (``low`` and ``high``, null where there is none) and direction of the metrics, and
            scores of samples, that are no fractions, nor losses or counts that their names tell. A record without such
            metrics does not have this field.
        test_samples: Samples in the test split.
        scores: Name of the .npz file with the scores of every test sample, beside the record.
        scores_sha256: Digest of that file.
        parameters: Parameters of the network.
        macs: Multiply–accumulates of convolutions, linear layers and matrix products for one sample.
        bytes: What the numbers of a quantised network take, its weights by their bits. A record of any other network
            does not have this field.
        throughput: Samples a second in inference.
        throughput_batch: Batch size at which throughput was measured.
        hardware: What throughput was measured on.
        training_seconds: Wall time of the training that led to the tested weights, validation included.
        training_hardware: What the training ran on.
        world_size: Processes that trained.
        epochs: Training epochs, each as long as ``trainer.limit_train_batches`` makes it.
        steps: Optimiser steps.
        planned_steps: Optimiser steps that the configuration asks for; null if it sets no end.
        complete: Whether the training had ended as configured, or early as one of its callbacks decided; null if that
            can't be told, as of a checkpoint that was taken away from its run.
        checkpoint: Which weights were tested: ``best`` in validation, ``last``, or ``other``, of another file.
        batch_norm: Whether the network has batch normalisation, whose statistics are each process's own unless
            ``trainer.sync_batchnorm`` is set.
        peak_memory: Bytes, the largest over the processes.
        memory_kind: ``cuda`` (allocated tensors) or ``process RSS`` (everything in the process).
        config: The resolved configuration.
        checkpoint_sha256: Digest of the checkpoint that was tested.
        versions: Package to version.
        commit: Commit of blockyard's source, ``-dirty`` appended if it was changed.
        finished: When the test ended, ISO 8601 with time zone.
        schema: Version of this format.
    """

    task: str
    data: str
    backbone: str
    block: str
    plugs: list[dict[str, Any]]
    experiment: str
    baseline: str
    run: str
    seed: int
    repeat: int = 0
    metrics: dict[str, float]
    primary: str
    higher_is_better: bool
    scales: dict[str, dict[str, Any]] = field(default_factory=dict)
    test_samples: int
    scores: str | None = None
    scores_sha256: str | None = None
    parameters: int
    macs: int
    bytes: int | None = None
    throughput: float
    throughput_batch: int
    hardware: str
    training_seconds: float | None = None
    training_hardware: str | None = None
    world_size: int | None = None
    epochs: float | None = None
    steps: int | None = None
    planned_steps: int | None = None
    complete: bool | None = None
    checkpoint: str | None = None
    batch_norm: bool | None = None
    peak_memory: int | None = None
    memory_kind: str | None = None
    config: dict[str, Any]
    checkpoint_sha256: str | None = None
    versions: dict[str, str]
    commit: str | None = None
    finished: str
    schema: int = SCHEMA

    def metric(self, name: str) -> Metric:
        """What the numbers of a metric, or of a score of samples, mean."""
        found = metric_of(name, self.scales[name]) if name in self.scales else metric_named(name)
        if name != self.primary or found.higher_is_better == self.higher_is_better:
            return found
        return replace(found, higher_is_better=self.higher_is_better)


def described(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that follow from its configuration.

    Raises:
        ValueError: As :func:`blockyard.leaderboard.identity.identity`.
    """
    experiment, seed = canonical(config), seed_of(config)
    fingerprints_of(config)
    return {
        **dataclasses.asdict(identity_of(experiment, seed)),
        "task": class_name(experiment["model"]),
        "data": class_name(experiment["data"]),
        "backbone": backbone_label(experiment),
        "block": block_label(experiment),
        "plugs": experiment["model"]["init_args"].get("plugs", []),
        "seed": seed,
    }


def write(record: Record, directory: Path) -> Path:
    """Write ``<run>.json``, or ``<run>-repeat<k>.json`` if the run has a record already.

    Args:
        record: The record; its ``repeat`` is set here.
        directory: Where records are; made if missing. Any number of processes may write at once.

    Returns:
        The file.

    Raises:
        RecordError: If the record is not valid.
    """
    for repeat in count():
        path = file_of(record.run, repeat, directory)
        try:
            files.create(path, _text(replace(record, repeat=repeat)))
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def keep(record: Record, directory: Path) -> Path | None:
    """As :func:`write`, but a record that is there already is not written again.

    Returns:
        The file; None if one of the run's records, its ``repeat`` apart, is the same.

    Raises:
        RecordError: If the record, or one of the same run in the folder, is not valid.
    """
    for repeat in count():
        path = file_of(record.run, repeat, directory)
        numbered = replace(record, repeat=repeat)
        try:
            files.create(path, _text(numbered))
        except FileExistsError:
            if read(path) == numbered:
                return None
            continue
        return path
    raise AssertionError("unreachable")


def file_of(run: str, repeat: int, directory: Path) -> Path:
    """Where the record of a run is."""
    return directory / (f"{run}-repeat{repeat}.json" if repeat else f"{run}.json")


def _text(record: Record) -> bytes:
    fields = dataclasses.asdict(record)
    if record.schema < SCHEMA:
        fields = {name: value for name, value in fields.items() if name not in LATER}
    fields = {name: value for name, value in fields.items() if value or name not in OMITTED}
    if found := problems(fields):
        raise RecordError("\n".join(f"record of run {record.run}: {line}" for line in found))
    return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read(path: Path) -> Record:
    """Read and validate one record.

    Raises:
        RecordError: If it is damaged or holds impossible values; a line a problem, each naming file, field,
            value and what is allowed.
    """
    try:
        fields = json.loads(files.read_bounded(path, LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: no record: {' '.join(str(error).split())}") from None
    if not isinstance(fields, dict):
        raise RecordError(f"{path}: no record: a mapping is needed, this is a {type(fields).__name__}")
    found, facts = _examined(fields)
    if found:
        raise RecordError("\n".join(f"{path}: {line}" for line in found))
    return Record(**fields | {name: facts[name] for name in LABELS})


def read_all(directories: Iterable[Path]) -> tuple[list[Record], list[str]]:
    """Read every ``*.json`` of some folders.

    Returns:
        The valid records, identical copies once, and a line a problem of the others.
    """
    runs: dict[str, list[Record]] = {}
    lines: list[str] = []
    for path in (path for directory in directories for path in sorted(directory.glob("*.json"))):
        try:
            record = read(path)
        except RecordError as error:
            lines += str(error).splitlines()
        else:
            same_run = runs.setdefault(record.run, [])
            same_run += [record] if record not in same_run else []
    return [record for same_run in runs.values() for record in same_run], lines


def problems(fields: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with the fields of a record, a line each; an empty list if it is valid."""
    return _examined(fields)[0]


def _examined(fields: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The problems of a record, and what its configuration says it is."""
    if fields.get("schema") not in SCHEMAS or isinstance(fields["schema"], bool):
        return [f"schema: {fields.get('schema')!r:.80}; this blockyard reads {' and '.join(map(str, SCHEMAS))}"], {}
    found = field_problems(fields)
    if found:
        return found, {}
    try:
        facts = described(fields["config"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [f"config: not a resolved configuration ({printable(str(error))})"], {}
    lines = [
        f"{name}: {fields[name]!r:.200}; the configuration says {fact!r:.200}"
        for name, fact in facts.items()
        if fields[name] != fact and name not in LABELS
    ]
    lines += [
        f"config: it makes the {name} {facts[name]!r:.80}; allowed is {FIELDS[name].allowed}"
        for name in LABELS
        if not FIELDS[name].accepts(facts[name])
    ]
    return lines, facts
