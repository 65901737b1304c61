"""One of two processes ends before the first batch: the other is not left waiting, and one line says so."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUN = [
    *("fit", "--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--data.batch_size", "256"),
    *("--trainer.accelerator", "cpu", "--trainer.max_epochs", "50", "--trainer.enable_progress_bar", "false"),
    *("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.callbacks", "dying.Dying"),
]
SECONDS = 30
"""Ten of them are what a process with something to say waits for others that have to say the same."""

pytestmark = pytest.mark.slow


def environment(die: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "MASTER"))}
    allowed = {"BLOCKYARD_ALLOW": "dying", "PYTHONPATH": str(HERE), "DIE": die, "PYTHONWARNINGS": "ignore"}
    return plain | {"GLOO_SOCKET_IFNAME": "lo"} | allowed


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def is_there(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("die", "code", "said"),
    [
        ("1 init SIGKILL", 1, "was killed by SIGKILL before the first batch"),
        ("1 init 0", 1, "ended with exit code 0 before the first batch"),
        ("1 setup SIGKILL", 1, "was killed by SIGKILL before the first batch"),
        ("1 setup DataError", 2, "out of sorts"),
        ("0 setup SIGKILL", -9, "the first process ended before the first batch"),
        ("0 setup DataError", 2, "out of sorts"),
    ],
)
def test_the_other_ends_too(tmp_path, die, code, said):
    command = [sys.executable, "-m", "blockyard", *RUN]
    # both write to one pipe, which is at its end when both are gone
    done = subprocess.run(command, env=environment(die), cwd=tmp_path, capture_output=True, text=True, timeout=200)
    after = time.time() - float((tmp_path / "died").read_text())
    lines = [line for line in done.stderr.splitlines() if line.startswith("blockyard: ")]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert "Traceback" not in done.stderr
    assert after < SECONDS


def test_a_process_started_by_hand_is_missed_too(tmp_path):
    """Nobody launched them, so nobody else looks after them: as on two machines."""
    both = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    command = [sys.executable, "-m", "blockyard", *RUN]
    pair = [
        subprocess.Popen(
            command,
            env=environment("1 setup SIGKILL") | both | {"LOCAL_RANK": str(rank)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=200)[1] for process in pair]
    assert [process.returncode for process in pair] == [1, -9], said
    # Between the group and the connection lies a tenth of a second, in which gloo is the first to notice.
    ours = f"process {pair[1].pid} on " in said[0] and "ended before the first batch" in said[0]
    assert ours or "Connection reset by peer" in said[0] or "Connection closed by peer" in said[0]
    assert time.time() - float((tmp_path / "died").read_text()) < SECONDS


def test_no_process_outlives_its_launcher(tmp_path):
    """In the middle of a training."""
    command = [sys.executable, "-m", "blockyard", *RUN]
    first = subprocess.Popen(command, env=environment("none - -"), cwd=tmp_path, stderr=subprocess.DEVNULL)
    other = tmp_path / "process-1"
    end = time.monotonic() + 120
    while not (other.exists() and other.read_text()):
        assert first.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    first.kill()
    first.wait()
    end = time.monotonic() + SECONDS
    while is_there(int(other.read_text())):
        assert time.monotonic() < end
        time.sleep(0.1)
