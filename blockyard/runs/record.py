"""The record of a run, for the leaderboard."""

from __future__ import annotations

import copy
import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import nn

from blockyard.costs import count_macs, count_parameters, measure_throughput
from blockyard.leaderboard import record
from blockyard.leaderboard.bootstrap import averaged_score, bootstrap_mean
from blockyard.leaderboard.scores import impossible, write_scores
from blockyard.leaderboard.validation import CHECKPOINTS
from blockyard.metrics import Metric, digits, primary_of, stated_by
from blockyard.runs import machine, measured
from blockyard.runs.position import epochs_done, planned_steps

KEY = "training_cost"
"""Where a checkpoint keeps what its weights cost."""
TRAINING = (
    "training_seconds",
    "training_hardware",
    "world_size",
    "epochs",
    "steps",
    "planned_steps",
    "peak_memory",
    "memory_kind",
)
"""The fields of a record that are known after training only."""
THROUGHPUT_BATCH = 16


class RunRecord(Callback):
    """Measures a training, and after a test of the whole test split writes the record of the run.

    What the training cost travels in the checkpoint, summed over interruptions: ``test --ckpt_path`` writes the
    same record as a test right after ``fit``. Costs are those of the weights that are tested.

    The module must have ``network``, ``primary_metric``, after a test epoch ``sample_scores`` (name to ``(n,)``),
    and log its metrics as ``test/<name>``; what its ``metrics`` do not state is known by the names (see
    :func:`~blockyard.metrics.metric_named`). The data module must have ``input_shape``, ``(C, *S)``.

    Args:
        directory: Where records go.

    Attributes:
        config: The resolved configuration of the training, plain values only: ``seed_everything``, ``trainer``,
            ``model``, ``data``. Not an argument: the command line sets it before the trainer runs.
    """

    only_watches: ClassVar[bool] = True

    config: dict[str, Any] | None = None

    def __init__(self, directory: str = "runs/records") -> None:
        self.directory = Path(directory)
        self._cost: dict[str, Any] = {}
        self._planned: int | None = None
        self._started: float | None = None
        self._unseen: set[Metric] = set()
        self._refused: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the configuration, and what the task states of its metrics, now: after days of training would be late.

        Raises:
            ValueError: If a run with this configuration, or of this task, can't have a record.
        """
        self._refused = []
        if stage in ("fit", "test") and not _is_trial(trainer):
            record.described(self._configuration())
        if stage in ("fit", "test"):
            self._unseen = {primary_of(pl_module), *stated_by(pl_module)}
        if stage == "fit":
            self._cost, self._started = {}, None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        machine.reset_peak_memory(pl_module.device)
        self._planned = planned_steps(trainer)
        self._started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the first number of each metric, before many epochs are trained for a test that makes no record.

        Raises:
            ValueError: If it is out of the metric's bounds.
        """
        if trainer.state.fn == TrainerFn.FITTING:
            self._unseen = measured.look_at(trainer, pl_module, self._unseen)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._cost, self._started = self._measure(trainer), None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep what the weights cost so far; every rank calls this."""
        checkpoint[KEY] = self._measure(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take over what the weights cost before."""
        self._cost = checkpoint.get(KEY, {})

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the record, or one of each task, unless a metric's value is impossible: then say all that was measured.

        Raises:
            RecordError: If another measured value is impossible.
        """
        if _is_trial(trainer):
            return
        if not isinstance(trainer.limit_test_batches, float) or trainer.limit_test_batches != 1.0:
            rank_zero_warn(f"no record: limit_test_batches={trainer.limit_test_batches} leaves out test samples")
            return
        options = self._configuration()["trainer"]
        trained = machine.precision(options.get("precision"))
        if trainer.precision != trained and not options.get("plugins"):  # a plugin may be the precision
            rank_zero_warn(f"no record: tested in {trainer.precision}, trained in {trained}")
            return
        for result in measured.results(trainer, pl_module, self._configuration()):
            self._write(trainer, result)

    def _write(self, trainer: Trainer, result: measured.Tested) -> None:
        """Write the record of a result, unless a metric's value is impossible."""
        metrics, scores = measured.in_test(trainer, result)
        refused = measured.problems(result.task, metrics)  # on every rank, so that all end alike
        self._refused += refused
        if not trainer.is_global_zero:
            return
        if refused:
            print("tested: " + ", ".join(f"{name} {digits(value)}" for name, value in metrics.items()))
            return
        written = self._record(trainer, result, metrics, scores)
        if problem := impossible(scores, written.test_samples, written.metric):
            rank_zero_warn(f"scores of samples: {problem}; leaderboard add will refuse this record")
        path = record.write(written, self.directory)
        if line := _interval_over_items(written, scores):
            print(line)
        print(f"record: {path}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what :meth:`on_test_end` found impossible, now that reports and tables have been written.

        Raises:
            RecordError: If there is something; one line.
        """
        if self._refused:
            again = "then test the same checkpoint again: nothing has to be trained anew"
            raise record.RecordError(f"no record: {'; '.join(self._refused)}; {again}")

    def _record(
        self, trainer: Any, result: measured.Tested, metrics: dict[str, float], scores: dict[str, Any]
    ) -> record.Record:
        task, config = result.task, result.config
        facts = record.described(config)
        training: dict[str, Any] = {name: self._cost.get(name) for name in TRAINING}
        file, digest = write_scores(scores, self.directory, facts["run"]) if scores else (None, None)
        primary, quantised = measured.judged_by(task), getattr(task, "quantised", None)
        return record.Record(
            **facts,
            metrics=metrics,
            primary=primary.name,
            higher_is_better=primary.higher_is_better,
            scales=measured.scales(task, {*metrics, *scores}),
            test_samples=measured.test_samples(trainer, scores),
            scores=file,
            scores_sha256=digest,
            **network_cost(task.network, task.device, result.shape),
            bytes=quantised.bytes_of(task.network) if quantised else None,
            **training,
            complete=_is_complete(self._cost, trainer.ckpt_path),
            checkpoint=which(trainer.ckpt_path),
            batch_norm=has_batch_norm(task.network),
            config=config,
            checkpoint_sha256=sha256_of(trainer.ckpt_path) if trainer.ckpt_path else None,
            versions=machine.versions(),
            commit=machine.commit(),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _measure(self, trainer: Trainer) -> dict[str, Any]:
        """What training has cost up to now, earlier parts of a resumed run included."""
        if self._started is None:
            return self._cost
        device = trainer.strategy.root_device
        memory, kind = machine.peak_memory(device)
        largest = trainer.strategy.reduce(torch.tensor(memory, device=device), reduce_op="max")
        return {
            "training_seconds": self._cost.get("training_seconds", 0.0) + time.perf_counter() - self._started,
            "training_hardware": machine.hardware(device),
            "world_size": trainer.world_size,
            "epochs": epochs_done(trainer),
            "steps": trainer.global_step,
            "planned_steps": self._planned,
            "complete": trainer.global_step == self._planned or _ended_early(trainer),
            "peak_memory": max(int(largest), self._cost.get("peak_memory", 0)),
            "memory_kind": kind,
        }

    def _configuration(self) -> dict[str, Any]:
        if self.config is None:
            raise ValueError("RunRecord has no configuration: set its attribute config before the trainer runs")
        return self.config


def network_cost(network: nn.Module, device: torch.device, shape: tuple[int, ...]) -> dict[str, Any]:
    """The fields of a record that say what a network costs, of samples of a shape ``(C, *S)``."""
    network = copy.copy(network)  # the same weights without torch.compile, inside of which nothing can be counted
    return {
        "parameters": count_parameters(network),
        "macs": count_macs(network, shape),
        "throughput": measure_throughput(network, shape, THROUGHPUT_BATCH),
        "throughput_batch": THROUGHPUT_BATCH,
        "hardware": machine.hardware(device),
    }


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a network has batch normalisation."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def training_of(checkpoint: Path | None) -> dict[str, Any]:
    """The fields of a record that say what the weights in a file have cost; None are weights that nothing trained."""
    if checkpoint is None:
        return dict.fromkeys(TRAINING) | {"training_seconds": 0.0, "epochs": 0.0, "steps": 0, "complete": True}
    cost = _cost_in(checkpoint)
    return {name: cost.get(name) for name in TRAINING} | {"complete": _is_complete(cost, checkpoint)}


def _is_complete(cost: dict[str, Any], checkpoint: str | Path | None) -> bool | None:
    """Whether a training had ended; after the best weights it may have gone on, which the last ones say."""
    if cost.get("complete") or cost.get("planned_steps") is None or checkpoint is None:
        return cost.get("complete")
    return _cost_in(Path(checkpoint).with_name("last.ckpt")).get("complete")


def which(checkpoint: str | Path | None) -> str:
    """The kind of weights in a file, by its name; those in memory are the last ones."""
    name = "last" if checkpoint is None else Path(checkpoint).stem
    return name if name in CHECKPOINTS else "other"


def _ended_early(trainer: Any) -> bool:
    return any(isinstance(one, EarlyStopping) and one.wait_count >= one.patience for one in trainer.callbacks)


def _cost_in(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint says of its training; nothing if it can't be read, for which no record must be lost."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # torch raises many types for a file that is missing, cut off or no checkpoint
        return {}
    return content.get(KEY, {}) if isinstance(content, dict) else {}


def _interval_over_items(written: record.Record, scores: dict[str, Any]) -> str | None:
    """How far the choice of test items moves the primary metric; None if it is no mean over items, or all are alike."""
    try:
        items = scores[averaged_score([(written, scores)])]
    except ValueError:
        return None
    primary, interval = written.metric(written.primary), bootstrap_mean(items)
    said = f"{primary.heading} {primary.text(written.metrics[primary.name])}"
    if interval is None:
        return f"{said} of each of {len(items):,} items: that all score alike gives no interval"
    ends = f"{primary.text(interval.low)} … {primary.text(interval.high)}"
    return f"{said}, 95 % interval over {len(items):,} items: {ends}"


def _is_trial(trainer: Any) -> bool:
    return bool(trainer.fast_dev_run)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
