"""A SLURM of one machine."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
KillWait=5
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES OverSubscribe=FORCE:8
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Path:
    """Configuration of a running SLURM, for the environment variable SLURM_CONF."""
    if missing := [name for name in (*DAEMONS, "sbatch") if shutil.which(name) is None]:
        pytest.skip(f"no {missing[0]} here: Debian's slurm-wlm and munge have it")
    if os.getuid() != 0:
        pytest.skip("the daemons of SLURM start jobs as root only")
    folder = tmp_path_factory.mktemp("slurm")
    file = folder / "slurm.conf"
    settings = {"host": socket.gethostname(), "cpus": os.cpu_count(), "ports": _free_ports(2), "folder": folder}
    file.write_text(CONFIGURATION.format(**settings))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    try:
        _start_munge(folder / "munge")
        for command in (["slurmctld", "-i", "-f", file], ["slurmd", "-f", file]):
            subprocess.run(command, check=True)
        _wait_until_idle(folder, file)
        yield file
    finally:
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            if (folder / name).exists():
                os.kill(int((folder / name).read_text()), 15)


def _start_munge(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "key").write_bytes(secrets.token_bytes(1024))
    (folder / "key").chmod(0o600)
    places = [f"--{name}={folder}/{name.partition('-')[0]}" for name in ("socket", "key-file", "pid-file", "log-file")]
    # --force: folders of pytest are open to root alone, so that no other user could reach the socket
    subprocess.run(["munged", "--force", f"--seed-file={folder}/seed", *places], check=True, stderr=subprocess.PIPE)


def _wait_until_idle(folder: Path, file: Path) -> None:
    command = ["sinfo", "--noheader", "--format", "%T"]
    for _ in range(150):
        done = subprocess.run(
            command, env=os.environ | {"SLURM_CONF": str(file)}, capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.1)
    logs = "".join((folder / f"{name}.log").read_text() for name in DAEMONS[1:] if (folder / f"{name}.log").exists())
    pytest.fail(f"SLURM did not start: {done.stdout} {done.stderr}\n{logs}")


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
