"""``blockyard leaderboard verify``: tests the checkpoint of a record again, and compares."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar

from blockyard.composing.composition import TRUST, Composed, read_checkpoint
from blockyard.composing.inherited import believed
from blockyard.composing.preparing import prepare
from blockyard.composing.run_directories import no_checkpoint
from blockyard.composing.suite import SuiteCLI, evaluated
from blockyard.costs import count_macs, count_parameters
from blockyard.leaderboard.identity import PROBE, TOGETHER, fingerprints_of, identity
from blockyard.leaderboard.record import Record, read
from blockyard.mistakes import nearest
from blockyard.runs.record import sha256_of

FREE = ("accelerator", "devices", "enable_progress_bar", "num_nodes", "strategy")
"""Options of the trainer that a verification may choose: the machine and what it shows."""
DEVIATION = 1e-3
"""How much a metric may deviate relative to its range, besides one test sample that changes sides from one end of it
to the other; and a loss, or another metric whose range has no end, relative to its size.

Hardware, thread counts and library versions order sums differently. A logit of float32 then moves by about 1e-6 of its
size, which takes a sample across a decision only where two classes all but tie: on the same machine nothing moves.
"""
HALF = 5
"""Times as much in half precision, whose kernels round to three digits."""


class MismatchError(Exception):
    """What was given is not what the record is of; one line."""


@dataclass(frozen=True)
class Comparison:
    """A number of the record and the same number now.

    Attributes:
        name: What it is.
        recorded: The record's.
        measured: Now; None if there is no such number now.
        allowed: The difference that counts as agreement.
    """

    name: str
    recorded: float
    measured: float | None
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the two are the same within what is allowed."""
        return self.measured is not None and abs(self.measured - self.recorded) <= self.allowed

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DISAGREES"
        recorded, now = _shown(self.recorded), _shown(self.measured)
        return f"{self.name:<24} {recorded:<12} now {now:<12} allowed ±{self.allowed:<8.2g} {verdict}"


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.7g}"


def main(known: Namespace, options: list[str]) -> int:
    """Run the verb; no record is written.

    Args:
        known: What :func:`~blockyard.commands.options.verify` reads.
        options: The other command line tokens.

    Returns:
        0 if every metric agrees, 1 if one does not, or if checkpoint, configuration or data are not the record's.

    Raises:
        ValueError: If the arguments are wrong, or the record or the data can't be read.
    """
    _check_options(options)
    path, checkpoint = known.record, known.ckpt_path
    record = read(path)
    if PROBE in record.config:
        raise ValueError(f"{path}: of features that are judged as they are: blockyard off-the-shelf does it again")
    if TOGETHER in record.config:
        task = record.config[TOGETHER].get("task", "NAME")
        raise ValueError(
            f"{path}: of one of several tasks: blockyard test --data.only {task} tests its checkpoint again"
        )
    try:
        _check_digest(record, checkpoint)
        cli = _rebuild(record, checkpoint, [_long(token) for token in options])
        found = _test(cli, record, checkpoint)
    except MismatchError as mismatch:
        print(f"{path}: {mismatch}")
        return 1
    agree = all(comparison.agrees for comparison in found)
    if cli.trainer.is_global_zero:
        print(f"{record.task} on {record.data}, {record.backbone}, block {record.block}, seed {record.seed}")
        print("\n".join(map(str, found)))
        print(f"{path}: {'verified' if agree else 'NOT verified'}; {_terms(record)}")
    return 0 if agree else 1


def compare(record: Record, metrics: dict[str, float]) -> list[Comparison]:
    """Every metric of a record beside what it is now."""
    return [
        Comparison(name, value, metrics.get(name), allowed(record, name, value))
        for name, value in record.metrics.items()
    ]


def allowed(record: Record, name: str, value: float) -> float:
    """How far from the value of a record a metric may be: see :data:`DEVIATION`."""
    metric = record.metric(name)
    if metric.is_count:
        return 0.0
    if metric.low is not None and metric.high is not None:
        return (_deviation(record) + 1 / record.test_samples) * (metric.high - metric.low)
    # a loss near zero is the difference of larger numbers
    return _deviation(record) * (abs(value) if name in record.scales else max(abs(value), 0.1))


def _deviation(record: Record) -> float:
    return DEVIATION * (HALF if "16" in str(_precision(record)) else 1)


def _precision(record: Record) -> Any:
    return (record.config.get("trainer") or {}).get("precision")


def _terms(record: Record) -> str:
    share = 100 * _deviation(record)
    return (
        f"allowed are ±{share:g} % and one of the {record.test_samples} test samples for scores, "
        f"±{share:g} % of its size for a loss and what else has no bounds, nothing for counts"
    )


def _check_options(options: list[str]) -> None:
    for name in (token.partition("=")[0] for token in options if token.startswith("--")):
        if not name.startswith("--data.") and name not in (may := [TRUST, *(f"--trainer.{key}" for key in FREE)]):
            raise ValueError(
                f"leaderboard verify: {name} is the record's to say; {nearest(name, ['--data.root', *may])}"
            )


def _long(option: str) -> str:
    return f"--model.{TRUST[2:]}=true" if option == TRUST else option


def _check_digest(record: Record, checkpoint: Path) -> None:
    """Before anything in the checkpoint is read."""
    if not checkpoint.is_file():
        raise no_checkpoint(checkpoint)
    if record.checkpoint_sha256 is None:
        raise MismatchError("it names no checkpoint: it is of weights that were tested right after training")
    if (digest := sha256_of(checkpoint)) != record.checkpoint_sha256:
        raise MismatchError(f"its checkpoint has SHA-256 {record.checkpoint_sha256[:12]}…, {checkpoint} {digest[:12]}…")


def _rebuild(record: Record, checkpoint: Path, options: list[str]) -> SuiteCLI:
    """Task, data and trainer of a record, once it turned out that the checkpoint is of its run."""
    prepare()
    said = believed(record.config, checkpoint)
    # whom the user trusts is not for a record to say
    arguments = {name: value for name, value in (said["model"].get("init_args") or {}).items() if name != TRUST[2:]}
    config = {
        "seed_everything": record.seed,
        "model": {**said["model"], "init_args": arguments},
        "data": said["data"],
        "trainer": {"precision": _precision(record), "logger": False},
    }
    cli = SuiteCLI(None, Composed(config, options, saved=said))
    evaluation = [("model", name) for name in getattr(cli.model, "evaluation_options", ())]
    evaluation += [("data", name) for name in getattr(cli.datamodule, "evaluation_options", ())]
    if identity(cli.run_config).run != record.run:
        raise ValueError(f"leaderboard verify: {' '.join(options)} makes it another run than the record's")
    trained = identity(evaluated(read_checkpoint(checkpoint), said, evaluation)).run
    if trained != record.run:
        raise MismatchError(f"its configuration is not the checkpoint's: run {record.run}, the checkpoint's {trained}")
    return cli


def _test(cli: SuiteCLI, record: Record, checkpoint: Path) -> list[Comparison]:
    # neither a record nor a report of its own; Lightning asks for the callbacks that wrote the checkpoint
    kept = [one for one in cli.trainer.callbacks if isinstance(one, ProgressBar | ModelCheckpoint)]  # type: ignore[attr-defined]
    cli.trainer.callbacks = kept  # type: ignore[attr-defined]
    _check_data(cli, record)
    options: dict[str, Any] = {"ckpt_path": str(checkpoint), "weights_only": True, "verbose": False}
    (metrics,) = cli.trainer.test(cli.model, cli.datamodule, **options)
    samples = len(next(iter(cli.model.sample_scores.values()), ()))
    if samples != record.test_samples:
        raise MismatchError(f"its test split has {record.test_samples} samples, the one in {_root(cli)} {samples}")
    network = cli.model.network
    return [
        *compare(record, {name.removeprefix("test/"): value for name, value in metrics.items()}),
        Comparison("parameters", record.parameters, count_parameters(network), 0),
        Comparison("MACs", record.macs, count_macs(network, cli.datamodule.input_shape), 0),
    ]


def _check_data(cli: SuiteCLI, record: Record) -> None:
    said = fingerprints_of(record.config).get("test")
    if said and (now := cli.datamodule.fingerprint("test")) != said:
        raise MismatchError(f"its test split has fingerprint {said}, the one in {_root(cli)} {now}")


def _root(cli: SuiteCLI) -> str:
    return str(cli.run_config["data"].get("init_args", {}).get("root", "the data"))
