"""Carrying out one run of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blockyard.analysis.verdict import Options
from blockyard.composing.begun import begins_with
from blockyard.composing.claim import claimed, holder
from blockyard.composing.composition import Composed
from blockyard.composing.config_files import read_config
from blockyard.composing.judging import judged, write_records
from blockyard.composing.run_directories import RUNS, find_checkpoint, run_directory
from blockyard.composing.suite import SuiteCLI
from blockyard.leaderboard.counting import is_complete
from blockyard.leaderboard.identity import FINGERPRINTS, PROBE, identity
from blockyard.leaderboard.record import Record, RecordError, read
from blockyard.progress import is_first_process

RECORDS = RUNS / "records"
BUSY = 76
"""Exit code: another process carries out the run."""


def carry_out(file: Path) -> int:
    """Train, from the last checkpoint if there is one, and test; nothing if there is a record.

    Args:
        file: The resolved configuration of the run.

    Returns:
        0, or :data:`BUSY` if another process holds the claim on it.
    """
    config = read_config(str(file))
    directory = run_directory(config)
    if record_of(identity(config).run):
        return 0
    if _waits(config):
        return BUSY
    work = _judge if PROBE in config else _train_and_test
    if not is_first_process():  # one of several processes of a run; the first one holds the claim
        work(config)
        return 0
    with claimed(directory) as mine:
        if mine and not record_of(identity(config).run):  # which another process may have written just now
            work(config)
        return 0 if mine else BUSY


def _waits(config: dict[str, Any]) -> bool:
    """Whether what a run begins with is being trained by another process.

    Raises:
        ValueError: If it is not trained and nobody does.
    """
    before = begins_with(config)
    if before is None or record_of(before.run):
        return False
    if holder(before.directory):
        return True
    raise ValueError(f"it begins with the weights of run {before.run}, which has no record")


def _judge(config: dict[str, Any]) -> None:
    """Judge the features of a network as it is, and write the record."""
    how = {name: value for name, value in config[PROBE].items() if name not in ("method", "weights")}
    options = Options((config[PROBE]["method"],), **how)
    cli = SuiteCLI(None, Composed({**config, "trainer": {"devices": 1, **config["trainer"], "logger": False}}))
    said = write_records(cli, None, judged(cli, options), options)
    if record_of(identity(config).run) is None:
        raise ValueError(f"{'; '.join(said)}: not of the run that was planned")


def _train_and_test(config: dict[str, Any]) -> None:
    cli = SuiteCLI(None, Composed(config), trains=True)
    planned, now = config.get(FINGERPRINTS), cli.run_config.get(FINGERPRINTS)
    if planned and now and planned != now:
        raise ValueError(f"the data are others than when the study was planned: {planned} then, {now} now")
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=find_checkpoint("fit", "last", cli.run_directory))
    kind = "best" if len(cli.datamodule.split("val")) else "last"  # without validation, no checkpoint is the best
    tested = find_checkpoint("test", kind, cli.run_directory)
    cli.trainer.test(cli.model, cli.datamodule, ckpt_path=tested, verbose=False)


def record_of(run: str) -> Record | None:
    """The record of the run of this hash, if there is one that is valid and of a whole training."""
    for path in sorted(RECORDS.glob(f"{run}*.json")):
        try:
            found = read(path)
        except RecordError:
            continue
        if is_complete(found):
            return found
    return None
