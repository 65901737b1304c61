"""Running a script as one process, and as two that work together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def one_and_two_processes(tmp_path_factory):
    """Call with the name of a script here: what a process alone, rank 0 and rank 1 of two wrote."""

    def run(name: str) -> list[Any]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        pair = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
        alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
        script = [sys.executable, Path(__file__).with_name(name)]
        processes = [
            subprocess.Popen([*script, alone]),
            subprocess.Popen([*script, together], env=os.environ | pair | {"LOCAL_RANK": "0"}),
            subprocess.Popen([*script, together], env=os.environ | pair | {"LOCAL_RANK": "1"}),
        ]
        assert [process.wait(timeout=180) for process in processes] == [0, 0, 0]
        return [json.loads(path.read_text()) for path in (alone / "0.json", together / "0.json", together / "1.json")]

    return run
