"""A run that is stopped anywhere, and goes on, leaves what it would have left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_nothing_is_lost_wherever_a_run_is_stopped(tmp_path):
    script = Path(__file__).parents[2] / "benchmarks" / "stops.py"
    command = [sys.executable, script, "--stops", "3", "--processes", "1", "--csv", "stops.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "stops.csv").read_text().splitlines()
    assert len(table) == 4
    assert all(line.endswith(",same") for line in table[1:])
