"""The runs of a study on this machine: one after another in this process, or several at a time in their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from types import FrameType

import torch

from blockyard.commands.study.plan import Run, write_configuration
from blockyard.commands.study.progress import Progress
from blockyard.commands.study.run import BUSY, carry_out
from blockyard.mistakes import mistake_in
from blockyard.runs.keep_last import PREEMPTED

POLL = 0.2
"""Seconds between two looks at running processes."""
OTHERS = 5.0
"""Seconds between two tries to begin a run that another process carries out."""

Numbered = tuple[int, Run]


def in_process(runs: Sequence[Numbered], progress: Progress) -> None:
    """Carry out runs one after another; imports are paid for once."""
    pending, busy = deque(runs), 0
    while pending:
        number, run = pending.popleft()
        if run.record:
            progress.skipped(number, run)
            continue
        progress.started(run)
        code = _attempt(number, run, progress)
        busy = busy + 1 if code == BUSY else 0
        if code == 0:
            progress.done(number, run)
        elif code == BUSY:
            progress.put_off(run)
            pending.append((number, run))
        if pending and busy == len(pending):
            progress.waiting([run for _, run in pending])
            time.sleep(OTHERS)
            busy = 0


def _attempt(number: int, run: Run, progress: Progress) -> int | None:
    """Exit code of one run, None if it failed, after which the study goes on."""
    write_configuration(run)
    run.directory.mkdir(parents=True, exist_ok=True)
    with run.log.open("a", buffering=1) as log:
        try:
            with redirect_stdout(log):
                return carry_out(run.file)
        except Exception as error:  # one run must not take the others with it
            traceback.print_exc(file=log)
            progress.failed(number, str(mistake_in(error) or repr(error)), run)
            return None


def in_processes(runs: Sequence[Numbered], progress: Progress, jobs: int) -> None:
    """Carry out runs in processes of their own, ``jobs`` at a time; GPUs are dealt out to them."""
    pending = deque(runs)
    running: dict[int, tuple[int, Run, subprocess.Popen[bytes]]] = {}
    later: dict[str, float] = {}
    with _ending(running):
        while pending or running:
            for slot in [slot for slot in range(jobs) if slot not in running]:
                ahead = {run.name for _, run in pending} | {run.name for _, run, _ in running.values()}
                ready = [entry for entry in pending if _may_start(entry[1], ahead, later)]
                if not ready:
                    break
                pending.remove(ready[0])
                number, run = ready[0]
                if run.record:
                    progress.skipped(number, run)
                    continue
                progress.started(run)
                running[slot] = (number, run, _start(run, slot, jobs))
            for slot, (number, run, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    if process.returncode == BUSY:
                        progress.put_off(run)
                        later[run.name] = time.monotonic() + OTHERS
                        pending.append((number, run))
                    else:
                        _report(number, run, process.returncode, progress)
            time.sleep(POLL)


def _may_start(run: Run, ahead: set[str], later: dict[str, float]) -> bool:
    """Whether what a run begins with has ended, and it was not put off."""
    return run.after not in ahead and later.get(run.name, 0.0) <= time.monotonic()


def _start(run: Run, slot: int, jobs: int) -> subprocess.Popen[bytes]:
    write_configuration(run)
    run.directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "blockyard.commands.study", str(run.file)]
    with run.log.open("ab") as log:
        # in a session of its own: Ctrl-C is answered by the study, which lets the run write a checkpoint
        here = environment(slot, jobs)
        return subprocess.Popen(command, env=here, stdout=log, stderr=log, start_new_session=True)


def environment(slot: int, jobs: int) -> dict[str, str]:
    """That of a run: its share of the GPUs and of the CPU cores, where nothing else was said."""
    here = dict(os.environ)
    if jobs == 1:
        return here
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(torch.cuda.device_count()))))
    if devices := [device for device in listed.split(",") if device]:
        here["CUDA_VISIBLE_DEVICES"] = ",".join(devices[slot::jobs] or [devices[slot % len(devices)]])
    here.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    return here


def _report(number: int, run: Run, code: int, progress: Progress) -> None:
    if run.record:
        progress.done(number, run)
    elif code == PREEMPTED:
        progress.failed(number, "it was asked to leave; start the study again to go on", run)
    elif code < 0:
        progress.failed(number, f"killed by {signal.Signals(-code).name}", run)
    else:
        last = run.log.read_text(errors="replace").rstrip().rpartition("\n")[2]
        progress.failed(number, last.removeprefix("blockyard: ") or f"exit code {code}", run)


@contextmanager
def _ending(running: dict[int, tuple[int, Run, subprocess.Popen[bytes]]]) -> Iterator[None]:
    """Processes end with this one: asked to, they write a checkpoint first."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(PREEMPTED)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for _, _, process in running.values():
            process.terminate()
        for _, _, process in running.values():
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
