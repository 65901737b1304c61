"""The records of ``blockyard off-the-shelf``: features that are judged by a method are an experiment of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ProgressBar

from blockyard.analysis.probe import judge, probe_of
from blockyard.analysis.verdict import Options, Score, Verdict
from blockyard.composing.evaluating import tested_on
from blockyard.composing.suite import SuiteCLI
from blockyard.leaderboard import record
from blockyard.leaderboard.identity import FINGERPRINTS, PROBE
from blockyard.leaderboard.record import RECORDS, Record, described
from blockyard.leaderboard.scores import write_scores
from blockyard.metrics import counted, metric_named, stated_by
from blockyard.runs import machine, measured
from blockyard.runs.record import has_batch_norm, network_cost, sha256_of, training_of, which

KEPT = ("precision", "accelerator")
"""What of a trainer's options holds where nothing is trained."""


def judged(cli: SuiteCLI, options: Options) -> Verdict:
    """The verdict on the features of a network, of whose trainer's callbacks the progress bar alone takes part.

    Raises:
        ValueError, FloatingPointError: As :func:`blockyard.analysis.probe.judge`.
    """
    trainer: Any = cli.trainer
    trainer.callbacks = [one for one in trainer.callbacks if isinstance(one, ProgressBar)]
    return judge(trainer, cli.model, cli.datamodule, options)


def probed(config: dict[str, Any], how: dict[str, Any], trained: bool) -> dict[str, Any]:
    """The configuration of an experiment that judges features.

    Args:
        config: The network's, which says what it begins with; or of the training that its weights come from.
        how: The method, and what its number depends on.
        trained: Whether ``config`` is that of a training that was carried out.
    """
    trainer = config["trainer"] or {}
    if not trained:
        trainer = {name: trainer[name] for name in KEPT if trainer.get(name)}
    return {**config, "trainer": trainer, PROBE: {**how, "weights": "trained" if trained else "as built"}}


def write_records(cli: SuiteCLI, checkpoint: Path | None, verdict: Verdict, options: Options) -> list[str]:
    """Write a record for each method, or none where it would not be what its configuration says.

    Args:
        cli: What was judged.
        checkpoint: Where its weights come from; None are those that it was built with.
        verdict: The scores.
        options: What was asked for.

    Returns:
        What people are told, a line each.
    """
    if reason := _refusal(cli, checkpoint, verdict):
        return [f"no record: {reason}"]
    by_method: dict[str, list[Score]] = {}
    for score in verdict.scores:
        by_method.setdefault(score.method, []).append(score)
    costs = network_cost(cli.model.network, cli.model.device, cli.datamodule.input_shape)
    return [
        f"record: {record.write(_record(cli, checkpoint, scores, verdict, options, costs), RECORDS)}"
        for scores in by_method.values()
    ]


def _refusal(cli: SuiteCLI, checkpoint: Path | None, verdict: Verdict) -> str | None:
    """Why what was measured is not what a record would say, if it is not."""
    trainer: Any = cli.trainer
    for limit in ("limit_predict_batches", "limit_test_batches"):
        value = getattr(trainer, limit)
        if not isinstance(value, float) or value != 1.0:
            return f"{limit}={value} leaves out samples"
    for name, count in verdict.left_out.items():
        if count:
            return f"{counted(count, f'{name} sample')} could not be read"
    trained = machine.precision((cli.run_config["trainer"] or {}).get("precision"))
    if checkpoint and trainer.precision != trained:
        return f"judged in {trainer.precision}, trained in {trained}"
    saved = cli.composed.saved or {}
    said = saved.get(FINGERPRINTS, {}).get("train")
    if said and "train" in verdict.samples and cli.datamodule.fingerprint("train") != said:
        return f"{checkpoint} was trained on other data: give it as the backbone's weights, which are then an option"
    return None


def _configuration(cli: SuiteCLI, checkpoint: Path | None, method: str, options: Options) -> dict[str, Any]:
    """What makes the experiment: the network's, and how its features are judged."""
    config = dict(cli.run_config)
    if checkpoint is not None and cli.composed.saved:
        now = {"test": cli.datamodule.fingerprint("test"), "of": cli.datamodule.fingerprints_are_of}
        config[FINGERPRINTS] = tested_on(cli.composed.saved, now)
    return probed(config, probe_of(type(cli.model)).asked(method, options), trained=checkpoint is not None)


def _record(
    cli: SuiteCLI,
    checkpoint: Path | None,
    scores: list[Score],
    verdict: Verdict,
    options: Options,
    costs: dict[str, Any],
) -> Record:
    task: Any = cli.model
    config = _configuration(cli, checkpoint, scores[0].method, options)
    facts = described(config)
    metrics = {score.metric: score.value for score in scores}
    values = {score.metric: score.values.numpy() for score in scores if score.values is not None}
    file, digest = write_scores(values, RECORDS, facts["run"]) if values else (None, None)
    primary = task.primary_metric if task.primary_metric in metrics else scores[0].metric
    items = verdict.samples["test"] if "test" in verdict.samples else verdict.samples["query"]
    return Record(
        **facts,
        metrics=metrics,
        primary=primary,
        higher_is_better=metric_named(primary, stated_by(task)).higher_is_better,
        scales=measured.scales(task, metrics),
        test_samples=len(next(iter(values.values()))) if values else items,
        scores=file,
        scores_sha256=digest,
        **costs,
        **training_of(checkpoint),
        checkpoint=which(checkpoint) if checkpoint else None,
        batch_norm=has_batch_norm(task.network),
        config=config,
        checkpoint_sha256=sha256_of(checkpoint) if checkpoint else None,
        versions=machine.versions(),
        commit=machine.commit(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
