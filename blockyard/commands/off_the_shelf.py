"""``blockyard off-the-shelf``: what frozen features are worth, by a linear classifier, neighbours and a ranking."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from blockyard import files
from blockyard.analysis.verdict import METHODS, Options, Verdict
from blockyard.composing.composition import compose
from blockyard.composing.judging import judged, write_records
from blockyard.composing.preparing import prepare
from blockyard.composing.run_directories import find_checkpoint
from blockyard.composing.suite import SuiteCLI
from blockyard.leaderboard.console import console
from blockyard.leaderboard.record import RECORDS, described
from blockyard.metrics import counted, metric_named
from blockyard.mistakes import nearest
from blockyard.runs.record import sha256_of

FILE = "off-the-shelf.json"


def main(own: Namespace, rest: list[str]) -> int:
    """Run the verb: print a table, write ``off-the-shelf.json`` into the run's directory and a record for each method.

    No network is trained.

    Args:
        own: What :func:`~blockyard.commands.options.off_the_shelf` reads.
        rest: The other command line tokens, as for ``test``.

    Returns:
        0.

    Raises:
        ValueError: If the arguments or the data are wrong, one line.
        FloatingPointError: If the network's features are not finite.
    """
    options = _asked(own)
    prepare()
    composed = compose(rest, keep_trainer=False)
    # one device computes, and nothing but the table and the file is written
    composed.config["trainer"] = {"devices": 1, **composed.config.get("trainer", {}), "logger": False}
    cli = SuiteCLI(None, composed)
    if cli.trainer.world_size > 1:
        raise ValueError(f"off-the-shelf runs on one device, not on {cli.trainer.world_size}: --trainer.devices 1")
    for folder in (cli.run_directory, RECORDS):
        files.insist_on(folder)
    checkpoint = find_checkpoint("test", composed.checkpoint, cli.run_directory)
    if checkpoint is not None:
        cli.load_weights(checkpoint)
    verdict = judged(cli, options)
    _print(cli, checkpoint, verdict)
    for line in write_records(cli, Path(checkpoint) if checkpoint else None, verdict, options):
        print(line)
    path = cli.run_directory / FILE
    files.write(path, json.dumps(_content(cli, checkpoint, verdict), indent=1).encode())
    print(path)
    return 0


def _asked(own: Namespace) -> Options:
    methods = None if own.methods is None else tuple(dict.fromkeys(own.methods.split(",")))
    for method in methods or ():
        if method not in METHODS:
            raise ValueError(f"off-the-shelf: no method {method!r}; {nearest(method, METHODS)}")
    for name, value in (("k", own.k), ("positions", own.positions), ("strength", own.strength)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"off-the-shelf: --{name} {value} must be positive")
    return Options(methods, own.k, own.strength, own.positions)


def _print(cli: SuiteCLI, checkpoint: str | None, verdict: Verdict) -> None:
    known = described(cli.run_config)
    weights = Path(checkpoint).name if checkpoint else "as built"
    table = Table("method", "metric", "%", "95 % interval", "settings")
    for score in verdict.scores:
        text = metric_named(score.metric).text
        interval = "" if score.low is None or score.high is None else f"{text(score.low)} – {text(score.high)}"
        settings = ", ".join(f"{name} {value:g}" for name, value in score.settings.items())
        table.add_row(score.method, score.metric, text(score.value), interval, settings)
    print(f"{known['data']}, {known['backbone']}, block {known['block']}, weights {weights}")
    console().print(table)
    samples = ", ".join(f"{count} {name}" for name, count in verdict.samples.items())
    print(f"features: {verdict.features}; {verdict.dimensions} dimensions; {samples}")
    for name, count in verdict.left_out.items():
        if count:
            print(f"{counted(count, f'{name} sample')} could not be read and left out")


def _content(cli: SuiteCLI, checkpoint: str | None, verdict: Verdict) -> dict[str, Any]:
    known = described(cli.run_config)
    scores = [asdict(replace(score, values=None)) for score in verdict.scores]
    for score in scores:
        del score["values"]
    return {
        **{name: known[name] for name in ("task", "data", "backbone", "block", "experiment", "run", "seed")},
        "checkpoint": checkpoint and Path(checkpoint).name,
        "checkpoint_sha256": checkpoint and sha256_of(Path(checkpoint)),
        **asdict(replace(verdict, scores=[])),
        "scores": scores,
    }
