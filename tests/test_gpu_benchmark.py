"""The benchmark of GPUs, at sizes that a CPU can try."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_it_runs_and_every_part_leaves_its_rows(tmp_path):
    table = tmp_path / "gpu.csv"
    parts = ["every_block", "losses", "resume"]  # kernels are for a GPU, and the tests are here already
    command = [ROOT / "benchmarks" / "gpu.sh", table, "--device", "cpu", "--tiny", "--parts", *parts]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["part"] for row in rows} == set(parts)
    assert rows[-1]["how"] == "bit for bit"
    assert rows[0]["torch"] == torch.__version__
    wrong = [row["what"] for row in rows if row["part"] == "every_block" and not row["ms"]]
    assert not wrong
