"""Who carries out a run: at most one process at a time, whichever machine it is on.

The claims on a run are numbered files in its directory. The highest number counts; the next one is taken by creating
its file, in which exactly one process succeeds, and only after the one before was given up or its holder was lost.
No claim is removed but by a later one, so that a slow process can't mistake an old state for the present one. Nothing
here relies on file locks, which shared file systems may lack.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from blockyard import files
from blockyard.unfinished import machine, started

BEAT, LOST = 30.0, 300.0
"""Seconds: how often a holder gives a sign, and after which silence another machine takes it for lost."""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the claim on the run of a directory.

    Raises:
        ValueError: If somebody else does, who is named.
    """
    with claimed(directory) as mine:
        if not mine:
            raise ValueError(
                f"{directory} is in the hands of {holder(directory) or 'another process'}: wait for it to end, or add "
                "--trainer.default_root_dir to repeat the run elsewhere"
            )
        yield


@contextmanager
def claimed(directory: Path) -> Iterator[bool]:
    """Hold the claim on the run of a directory; False if somebody else does.

    A SLURM job whose number the claim has holds it already.
    """
    number = _take(directory)
    if number is None:
        yield False
        return
    path, done = _path(directory, number), threading.Event()
    sign = threading.Thread(target=_beat, args=(path, done), daemon=True)
    sign.start()
    try:
        yield True
    finally:
        done.set()
        sign.join()
        _give_up(path)


def pass_on(directory: Path, job: str) -> None:
    """Give a claim that this process holds to a SLURM job: it stands until the job has ended."""
    files.write(_path(directory, max(_numbers(directory))), json.dumps({"job": job}).encode())


def holder(directory: Path) -> str | None:
    """Who holds the claim on the run of a directory, in words; None if nobody does."""
    numbers = _numbers(directory)
    if not numbers or not _stands(_path(directory, max(numbers))):
        return None
    claim = _read(_path(directory, max(numbers)))
    if "job" in claim:
        return f"SLURM job {claim['job']}"
    since = f", since {claim['since']}" if "since" in claim else ""
    return f"process {claim['process']} on {claim['host']}{since}" if "process" in claim else None


def _take(directory: Path) -> int | None:
    """The number of the claim that this process now holds; None if another holds one."""
    before = max(_numbers(directory), default=0)
    if before and _read(_path(directory, before)).get("job", "") == os.environ.get("SLURM_JOB_ID"):
        return before
    if before and _stands(_path(directory, before)):
        return None
    try:
        files.create(_path(directory, before + 1), json.dumps(_mine()).encode())
    except FileExistsError:
        return None
    numbers = _numbers(directory)
    if max(numbers) > before + 1:  # this process was so slow that later claims were made and old ones removed
        return None
    for number in numbers:
        if number <= before:
            _path(directory, number).unlink(missing_ok=True)
    return before + 1


def _mine() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "machine": machine(),
        "process": os.getpid(),
        "started": started(os.getpid()),
        "since": datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        "launched": _launched(),
    }


def _launched() -> list[Any] | None:
    """The job that started this process and may start it again, wherever, once it is gone; and how often it has."""
    if job := os.environ.get("SLURM_JOB_ID"):
        return [f"SLURM job {job}", int(os.environ.get("SLURM_RESTART_COUNT", "0"))]
    if (job := os.environ.get("TORCHELASTIC_RUN_ID", "none")) != "none":
        return [f"torchrun {job}", int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))]
    return None


def _stands(path: Path) -> bool:
    """Whether a claim was not given up and its holder is alive, as far as can be known."""
    claim = _read(path)
    if "job" in claim:
        return _job_stands(claim["job"])
    if "process" not in claim or _is_of_an_earlier_start(claim):
        return False
    if claim.get("machine", claim["host"]) in (machine(), socket.gethostname()):
        return started(claim["process"]) == claim["started"]
    try:
        return time.time() - path.stat().st_mtime < LOST
    except FileNotFoundError:
        return True  # replaced this moment by the claim of another


def _is_of_an_earlier_start(claim: dict[str, Any]) -> bool:
    """Whether the job of this process made the claim before it was started again: it ended all that it had begun."""
    theirs, ours = claim.get("launched"), _launched()
    return bool(theirs and ours and theirs[0] == ours[0] and theirs[1] < ours[1])


def _job_stands(job: str) -> bool:
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return True  # not on this machine to be asked: better to wait than to train twice
    if done.returncode:
        return "Invalid job id" not in done.stderr
    return bool(done.stdout.strip())


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):  # taken for lost: the record of the other will come first; or a disk that is away
            os.utime(path)


def _give_up(path: Path) -> None:
    """Let others have the claim; not one that was passed on to a job, or is the job's own, which may come back."""
    # On a full disk it stays as it is: the end of this process gives it up.
    with suppress(OSError):
        if path.exists() and _read(path).get("job") is None:
            files.write(path, b"{}")


def _numbers(directory: Path) -> list[int]:
    return [int(path.suffix[1:]) for path in directory.glob("claim.*") if path.suffix[1:].isdigit()]


def _path(directory: Path, number: int) -> Path:
    return directory / f"claim.{number}"


def _read(path: Path) -> dict[str, Any]:
    """What a claim says; nothing if it is gone, or was never written whole by an older file system's rules."""
    try:
        claim: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return claim
