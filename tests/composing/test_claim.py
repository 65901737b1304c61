"""A run is in the hands of one process at a time, and never lost with one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from blockyard.cli import main
from blockyard.composing.claim import LOST, claimed, held, holder, pass_on

HOLD = """
import sys, time
from pathlib import Path
from blockyard.composing.claim import claimed
with claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A stand-in that knows which jobs there are."""

    def say(text: str, code: int = 0) -> None:
        tool = tmp_path / "bin" / "squeue"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\necho '{text}' >&{2 if code else 1}\nexit {code}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")

    return say


def foreign(folder, age):
    """A claim of another machine, that gave its last sign so many seconds ago."""
    path = folder / "claim.1"
    path.write_text(json.dumps({"host": "elsewhere", "process": 1, "started": "1"}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_one_holder_at_a_time(tmp_path):
    with claimed(tmp_path / "run") as first, claimed(tmp_path / "run") as second:
        assert (first, second) == (True, False)
        assert holder(tmp_path / "run").startswith(f"process {os.getpid()} on {os.uname().nodename}, since 2")
    assert holder(tmp_path / "run") is None
    with claimed(tmp_path / "run") as again:
        assert again
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["claim.2"]


def test_given_up_after_an_error(tmp_path):
    with pytest.raises(SystemExit), claimed(tmp_path):
        raise SystemExit(75)
    assert holder(tmp_path) is None


def test_free_as_soon_as_its_process_was_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with claimed(tmp_path) as mine:
            assert not mine
        process.send_signal(signal.SIGKILL)
        process.wait()
    with claimed(tmp_path) as mine:
        assert mine


def test_of_many_that_find_a_lost_claim_one_gets_it(tmp_path):
    for round_ in range(20):
        folder = tmp_path / str(round_)
        folder.mkdir()
        foreign(folder, LOST + 1)
        held = [claimed(folder) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(lambda claim: claim.__enter__(), held)) == 1
        for claim in held:
            claim.__exit__(None, None, None)


@pytest.mark.parametrize(("age", "free"), [(0, False), (LOST - 20, False), (LOST + 20, True)])
def test_another_machine_is_judged_by_its_signs(tmp_path, age, free):
    foreign(tmp_path, age)
    with claimed(tmp_path) as mine:
        assert mine == free


def test_gives_signs(tmp_path, monkeypatch):
    monkeypatch.setattr("blockyard.composing.claim.BEAT", 0.01)
    with claimed(tmp_path):
        os.utime(tmp_path / "claim.1", (0, 0))
        while (tmp_path / "claim.1").stat().st_mtime == 0:
            time.sleep(0.01)


def test_another_process_of_the_same_number_holds_nothing(tmp_path):
    claim = {"host": os.uname().nodename, "process": os.getpid(), "started": "long ago"}
    (tmp_path / "claim.1").write_text(json.dumps(claim))
    with claimed(tmp_path) as mine:
        assert mine


def test_a_job_holds_what_was_passed_on_to_it(tmp_path, squeue, monkeypatch):
    with claimed(tmp_path):
        pass_on(tmp_path, "17")
    squeue("PENDING")
    assert holder(tmp_path) == "SLURM job 17"
    with claimed(tmp_path) as mine:
        assert not mine
    with monkeypatch.context() as job:
        job.setenv("SLURM_JOB_ID", "17")
        with claimed(tmp_path) as mine:
            assert mine
    assert holder(tmp_path) == "SLURM job 17", "a job may be queued again"
    for text, code in (("", 0), ("slurm_load_jobs error: Invalid job id specified", 1)):
        squeue(text, code)
        assert holder(tmp_path) is None
    squeue("slurm_load_jobs error: Unable to contact slurm controller", 1)
    assert holder(tmp_path) == "SLURM job 17"


def test_one_line_says_who_has_it_and_since_when(tmp_path):
    again, who = held(tmp_path / "run"), rf"process {os.getpid()} on .*, since 2\d{{3}}-"
    with held(tmp_path / "run"), pytest.raises(ValueError, match=who):
        again.__enter__()


def test_a_container_of_the_same_name_is_another_machine(tmp_path):
    claim = {"host": os.uname().nodename, "machine": "another", "process": 1, "started": "1"}
    (tmp_path / "claim.1").write_text(json.dumps(claim))
    with claimed(tmp_path) as mine:
        assert not mine
    os.utime(tmp_path / "claim.1", (0, time.time() - LOST - 20))
    with claimed(tmp_path) as mine:
        assert mine


@pytest.mark.parametrize(
    ("job", "starts", "free"),
    [("SLURM job 7", 0, True), ("SLURM job 7", 1, False), ("SLURM job 8", 0, False), (None, 0, False)],
)
def test_a_job_that_is_started_again_elsewhere_is_let_in_at_once(tmp_path, monkeypatch, job, starts, free):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    claim = {"host": "elsewhere", "machine": "another", "process": 1, "started": "1", "launched": job and [job, starts]}
    (tmp_path / "claim.1").write_text(json.dumps(claim))
    with claimed(tmp_path) as mine:
        assert mine == free


def test_a_full_disk_does_not_hide_how_a_run_ended(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with claimed(tmp_path):
        monkeypatch.setattr("blockyard.files.write", full)
    assert holder(tmp_path), "until this process ends"


def test_a_folder_that_was_removed_is_not_made_again(tmp_path):
    with claimed(tmp_path / "run"):
        shutil.rmtree(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fit_leaves_a_run_in_other_hands_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = ["fit", "--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--trainer.max_epochs", "1"]
    run += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--ckpt_path", "last"]
    place = ["--trainer.default_root_dir", "here", "--trainer.limit_train_batches", "1"]
    with claimed(tmp_path / "here"):
        assert main([*run, *place]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"blockyard: here is in the hands of process {os.getpid()} on ")
        assert [path.name for path in (tmp_path / "here").iterdir()] == ["claim.1"]
    assert main([*run, *place]) == 0
    assert holder(tmp_path / "here") is None
    assert main([*run, *place]) == 0
