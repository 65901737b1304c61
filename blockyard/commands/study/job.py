"""A run of a study in a process of its own, or in a SLURM job; no torch until it is called."""

from __future__ import annotations

import time
from pathlib import Path

from blockyard.composing.importing import imported

PATIENCE = 60.0
"""Seconds that a SLURM job waits for the process that submitted it to pass the claim on."""


def carry_out_alone(file: str, patience: float = 0.0) -> int:
    """Carry out a run in a process that does nothing else.

    Args:
        file: The resolved configuration of the run.
        patience: Seconds to wait for another process that holds the claim on it.

    Returns:
        What :func:`blockyard.commands.study.run.carry_out` does.
    """
    run = imported("blockyard.commands.study.run")
    imported("blockyard.composing.preparing").prepare()
    end = time.monotonic() + patience
    while (code := run.carry_out(Path(file))) == run.BUSY and time.monotonic() < end:
        time.sleep(0.5)
    return int(code)


def carry_out_in_job(file: str) -> None:
    """What a SLURM job does; its exit code tells SLURM how it went."""
    if code := carry_out_alone(file, PATIENCE):
        raise SystemExit(code)
