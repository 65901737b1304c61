"""A mistake is said once, whichever of two processes has it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from blockyard.progress import RANKS, is_first_process

PAIR = """
import os, sys
from datetime import timedelta
import torch
from torch import distributed
from blockyard.composing import processes

processes.PATIENCE = timedelta(seconds=2)
os.environ["RANK"] = rank = os.environ["LOCAL_RANK"]
distributed.init_process_group("gloo")
if rank in sys.argv[1]:
    processes.say_once(f"a mistake of {sys.argv[1]}, says {rank}")
if len(sys.argv[1]) == 1:  # the other one is at work until this one has said it
    distributed.send(torch.ones(1), 1 - int(rank)) if rank in sys.argv[1] else distributed.recv(torch.ones(1))
"""
RUN = ["fit", "--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--data.batch_size", "7"]
RUN += ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "MASTER"))}
    return plain | {"PYTHONWARNINGS": "ignore"} | more


@pytest.fixture
def pair():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}


@pytest.mark.parametrize(("who", "speaker"), [("01", "0"), ("0", "0"), ("1", "1")])
def test_the_first_process_that_has_it_says_it(pair, who, speaker):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PAIR, who],
            env=environment(**pair, LOCAL_RANK=str(rank)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    lines = [line for text in said for line in text.splitlines() if "a mistake" in line]
    assert lines == [f"a mistake of {who}, says {speaker}"]


def test_a_mistake_after_the_processes_were_started(tmp_path):
    """The batch is divided only when the number of processes is known, by each of them."""
    command = [sys.executable, "-m", "blockyard", *RUN]
    done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=200)
    lines = [line for line in done.stderr.splitlines() if line.startswith("blockyard: ")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, lines
    assert "--data.batch_size 7" in lines[0]


@pytest.mark.parametrize("name", RANKS)
def test_who_is_first(monkeypatch, name):
    for each in RANKS:
        monkeypatch.delenv(each, raising=False)
    assert is_first_process()
    monkeypatch.setenv(name, "1")
    assert not is_first_process()
