"""Several machines on one, with the launchers that clusters have: what they train is what one process trains."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts"
RUN = [
    *("--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--data.batch_size", "256"),
    *("--model.backbone", "held.Held", "--trainer.max_epochs", "5", "--trainer.enable_progress_bar", "false"),
]
"""A training of 20 steps, 4 an epoch."""
ON_CPUS = ["--trainer.accelerator", "cpu", "--trainer.sync_batchnorm", "false"]
"""Torch synchronises batch norm on GPUs only; the network of these tests has none."""

pytestmark = pytest.mark.slow


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of a user who has activated the virtual environment and allowed the network of these tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    held = {"HELD": str(folder), "HELD_RANK": "1", "BLOCKYARD_ALLOW": "held", "PYTHONPATH": str(HERE)}
    return os.environ | held | {"PATH": path, "GLOO_SOCKET_IFNAME": "lo"} | more


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(path: Path, alive=lambda: True, seconds: float = 60) -> None:
    """Wait for a file that something alive is to write."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name} after {seconds} s"
        assert alive(), f"ended without {path.name}"
        time.sleep(0.05)


def checkpoint_of(folder: Path) -> dict:
    (path,) = folder.glob("runs/*/checkpoints/last.ckpt")
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict:
    """The last checkpoint of the run in one process that nobody disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    setting = environment(folder, HELD_RANK="none")
    command = [sys.executable, "-m", "blockyard", "fit", *RUN, *ON_CPUS]
    subprocess.run(command, cwd=folder, env=setting, check=True)
    return checkpoint_of(folder)


def assert_same(checkpoint: dict, alone: dict) -> None:
    """The same training, but for the order of the sums over a batch, which is dealt out."""
    assert checkpoint["global_step"] == alone["global_step"] == 20
    assert checkpoint["state_dict"].keys() == alone["state_dict"].keys()
    for name, weights in alone["state_dict"].items():
        torch.testing.assert_close(checkpoint["state_dict"][name], weights, rtol=1e-4, atol=1e-5)


def test_two_agents_of_torchrun_survive_the_loss_of_a_process(tmp_path, alone):
    """Kill -9 of one of two processes in the fourth epoch: the machines start both again, from the last checkpoint."""
    setting = environment(tmp_path, NODES="2", GPUS="1", PORT=str(free_port()))
    command = [SCRIPTS / "torchrun.sh", "--config", "cluster/torchrun.yaml", *RUN, *ON_CPUS]
    with (tmp_path / "log").open("w") as log:
        machines = [subprocess.Popen(command, cwd=tmp_path, env=setting, stdout=log, stderr=log) for _ in range(2)]
        try:
            wait_for(tmp_path / "ready", lambda: all(machine.poll() is None for machine in machines))
            assert checkpoint_of(tmp_path)["global_step"] == 12
            os.kill(int((tmp_path / "ready").read_text()), signal.SIGKILL)
            assert [machine.wait(60) for machine in machines] == [0, 0], (tmp_path / "log").read_text()
        finally:
            for machine in machines:
                machine.terminate()
    assert_same(checkpoint_of(tmp_path), alone)


def test_slurm_queues_a_job_again_that_had_to_leave(tmp_path, alone, slurm):
    """SIGUSR1 to a job of two tasks: it leaves at the next step, comes back under its number and goes on from there."""
    setting = environment(tmp_path, SLURM_CONF=str(slurm))
    options = ["--parsable", "--ntasks-per-node", "2", "--output", str(tmp_path / "log")]
    command = ["sbatch", *options, SCRIPTS / "slurm.sbatch", "--config", "cluster/slurm.yaml", *RUN, *ON_CPUS]
    job = subprocess.run(command, cwd=tmp_path, env=setting, check=True, capture_output=True, text=True).stdout.strip()

    def ask(what: str, *arguments: str) -> str:
        return subprocess.run([what, *arguments], env=setting, check=True, capture_output=True, text=True).stdout

    def state() -> str:
        return ask("squeue", "--noheader", "--states", "all", "--jobs", job, "--format", "%T").strip()

    try:
        wait_for(tmp_path / "ready", lambda: state() in ("PENDING", "CONFIGURING", "RUNNING"))
        ask("scancel", "--signal", "USR1", job)
        time.sleep(1)  # until slurmd has passed the signal on
        (tmp_path / "go").touch()
        end = time.monotonic() + 90
        while state() not in ("COMPLETED", "FAILED", "CANCELLED") and time.monotonic() < end:
            time.sleep(0.2)
        log = (tmp_path / "log").read_text()
        assert state() == "COMPLETED", log
        assert "stopped by SIGUSR1 at step 14, checkpoint" in log
        assert "Restarts=1" in ask("scontrol", "show", "job", job)
    finally:
        ask("scancel", job)
    assert_same(checkpoint_of(tmp_path), alone)
