"""``blockyard profile``: what a block is for, beside the same network without it, on data that one ability decides."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from blockyard import files
from blockyard.commands.describe import Unplugged
from blockyard.commands.study.cost import summary
from blockyard.commands.study.file import read_study
from blockyard.commands.study.main import carry_out
from blockyard.commands.study.plan import Impossible, Run, plan
from blockyard.commands.study.run import RECORDS
from blockyard.composing.composition import compose
from blockyard.composing.naming import short_names
from blockyard.composing.preparing import prepare
from blockyard.composing.run_directories import RUNS
from blockyard.leaderboard.add import take
from blockyard.leaderboard.command import records_in
from blockyard.leaderboard.console import console
from blockyard.leaderboard.labels import NO_BLOCK
from blockyard.leaderboard.profile import COLUMNS, LEGEND, Profile, profile
from blockyard.leaderboard.profile_picture import picture
from blockyard.leaderboard.record import file_of
from blockyard.leaderboard.terminal import print_in_parts
from blockyard.metrics import counted
from blockyard.plugging.making import innermost

PLACES = {
    "after": {"at": "stage2.0", "mode": "after"},
    "convolution": {"at": "stage2.0.conv2", "mode": "replace"},
    "mixer": {"at": "stage2.0.conv2", "mode": "replace"},
    "activation": {"at": "stage2.0.relu2", "mode": "replace"},
    "stage": {"at": "stage2", "mode": "around"},
    "units": {"at": "stage2", "mode": "replace"},
}
"""Where a block goes, by its slot; a block of one's own without a slot goes where most do."""
MOST_JOBS = 4
PROBE = "diagnostics/conjunction.yaml"
"""The configuration by which the options of a block are read."""


def main(options: Namespace, rest: list[str]) -> int:
    """Run a block beside its baseline and print its row; without a block, the profile of the records that there are.

    Args:
        options: What :func:`~blockyard.commands.options.profile` reads.
        rest: The other command line tokens, options of the block.

    Returns:
        0, or 1 if a run failed.

    Raises:
        ValueError: If the arguments are wrong, or there is no record of a diagnostic.
    """
    if options.block is None:
        if rest:
            raise ValueError(f"profile: {rest[0]} needs a block in front of it")
        return _show(profile(records_in(options.records or [RECORDS], "profile")), options.svg)
    for name in ("seeds", "jobs"):
        if (given := getattr(options, name)) is not None and given < 1:
            raise ValueError(f"profile: --{name} must be at least 1, got {given}")
    files.insist_on((options.svg or Path()).parent)
    prepare()
    plug = _plug(options, rest)
    jobs = options.jobs or _jobs()
    name = f"profile-{str(plug['block']['class_path']).rpartition('.')[2]}"
    study = _write_study(name, plug, options.seeds)
    planned = plan(read_study(str(study)), name)
    if options.records:
        print(_take_over(planned, options.records), flush=True)
    with _helpers(study, jobs - 1):
        print(summary(planned, jobs), flush=True)
        carry_out(planned, None, helpers=jobs - 1)
    records = [run.record for run in planned if isinstance(run, Run) and run.record]
    _show(profile(records), options.svg or Path(f"{name}.svg"))
    return 0 if len(records) == len(planned) else 1


def _take_over(planned: Sequence[Run | Impossible], folders: Sequence[Path]) -> str:
    """Copy the records of runs that were carried out elsewhere, such as those without a block; how many, in words."""
    listed = [(folder, record) for folder in folders for record in records_in([folder], "profile")]
    # of several records of a run the first counts
    found = {record.run: (folder, record) for folder, record in sorted(listed, key=lambda item: -item[1].repeat)}
    missing = [run.identity.run for run in planned if isinstance(run, Run) and not run.record]
    taken = [found[run] for run in missing if run in found]
    for folder, record in taken:
        take(file_of(record.run, record.repeat, folder), record, RECORDS)
    return f"{counted(len(taken), 'run')} of {', '.join(map(str, folders))} taken over"


def _jobs() -> int:
    """Processes where nothing is said: the networks are too small to share one among cores."""
    return 1 if torch.cuda.is_available() else min(MOST_JOBS, os.cpu_count() or 1)


def _plug(options: Namespace, rest: list[str]) -> dict[str, Any]:
    """The block with its options, and its place."""
    if foreign := [token for token in rest if token.startswith("--") and not token.startswith("--model.block.")]:
        raise ValueError(f"profile: no option {foreign[0]}; options of the block are --model.block.NAME VALUE")
    asked = _Asked(None, compose([*("--config", PROBE), "--model.block", options.block, *rest], keep_trainer=False))
    slot = getattr(innermost(asked.plugs[0].block), "slot", "after")
    place = dict(PLACES[slot])
    place |= {key: given for key in ("at", "mode") if (given := getattr(options, key)) is not None}
    return {"block": asked.block, **place}


class _Asked(Unplugged):
    """Builds the network of a diagnostic, to see what is to be plugged into it.

    Attributes:
        block: The class and the options of the block.
    """

    def before_instantiate_classes(self) -> None:
        """Keep what is said of the block."""
        self.block: dict[str, Any] = short_names(self.config.model.init_args.block.as_dict())
        super().before_instantiate_classes()


def _write_study(name: str, plug: dict[str, Any], seeds: int) -> Path:
    """The study as a file: it can be carried out, or gone on with, by ``blockyard study`` as well."""
    content = {
        "config": [f"diagnostics/{column}.yaml" for column in COLUMNS],
        "seeds": list(range(seeds)),
        "plugs": [None, plug],
    }
    path = RUNS / "studies" / f"{name}.yaml"
    files.write(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path


@contextmanager
def _helpers(study: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that carry out the same study: each run is done by the one that claims it first."""
    before, share = torch.get_num_threads(), max(1, (os.cpu_count() or 1) // (count + 1))
    torch.set_num_threads(min(before, share))
    here = {"OMP_NUM_THREADS": str(share), **os.environ}
    log = study.with_suffix(".log")
    with log.open("ab") as said:
        command = [sys.executable, "-m", "blockyard", "study", str(study)]
        started = [subprocess.Popen(command, env=here, stdout=said, stderr=said) for _ in range(count)]
    try:
        yield started
    finally:
        torch.set_num_threads(before)
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def _show(found: Profile, svg: Path | None) -> int:
    if not found.rows:
        raise ValueError("no record of a diagnostic; blockyard profile BLOCK makes those of a block")
    terminal = console()
    print_in_parts(found.texts(), 1, terminal)
    terminal.print(LEGEND)
    for name, cells in found.rows.items():
        if name != NO_BLOCK and len(found.rows) == 2:  # of one block it can be said in words
            lifted = [column for column in found.columns if column in cells and cells[column].lifts]
            terminal.print(f"{name} brings {', '.join(lifted) or 'none of the abilities'}.")
    if svg:
        files.write(svg, picture(found).encode())
        terminal.print(f"wrote {svg}")
    return 0
