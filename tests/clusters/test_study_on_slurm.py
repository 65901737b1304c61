"""A study whose runs are jobs of a real SLURM."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

STUDY = {
    "config": "image_classification/digits.yaml",
    "settings": {
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "limit_train_batches": 2},
        "data": {"init_args": {"variant": "8x8"}},
    },
    "seeds": [0],
    "plugs": [None, {"block": "SpectralNonlocal", "at": "stage2.-1"}],
}

pytestmark = pytest.mark.slow


def test_submits_each_run_once(tmp_path, slurm):
    pytest.importorskip("submitit")
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(STUDY))
    setting = os.environ | {"SLURM_CONF": str(slurm), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "blockyard", "study", "small.yaml", "--launcher", "slurm", "--slurm.time", "5"]

    def study() -> list[str]:
        done = subprocess.run(command, cwd=tmp_path, env=setting, capture_output=True, text=True, check=True)
        return [line.rpartition(": ")[2] for line in done.stdout.splitlines() if line.startswith("[")]

    jobs = study()
    assert [job[:9] for job in jobs] == ["SLURM job", "SLURM job"]
    for said, job in zip(study(), jobs, strict=True):
        assert said in (f"is carried out by {job}", "has a record, skipped"), "not submitted twice, done or not"
    end = time.monotonic() + 90
    while len(list(tmp_path.glob("runs/records/*.json"))) < 2:
        logs = "".join(path.read_text() for path in tmp_path.glob("runs/*/slurm/*.out"))
        assert time.monotonic() < end, logs
        time.sleep(0.2)
    assert study() == 2 * ["has a record, skipped"]
