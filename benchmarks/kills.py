"""What a study loses when it is killed, which should be nothing.

A small study runs undisturbed; then again, killed (SIGKILL) at random moments and started again each time. At the end
both must have the same records, one a run, and the same leaderboard, except for what is measured by the clock.

    python benchmarks/kills.py --kills 20
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

MEASURED = ("throughput", "training_seconds", "peak_memory", "finished", "checkpoint_sha256", "commit")
"""What the clock says, what holds it, and the source, which may be edited meanwhile."""
COMMAND = [sys.executable, "-m", "blockyard", "study", "kills.yaml"]


def study(epochs: int, seeds: int) -> str:
    """Two small networks on the 8×8 digits."""
    backbone = {"class_path": "PreResNet", "init_args": {"depth": 8, "dropout": 0.5}}
    content = {
        "config": "image_classification/digits.yaml",
        "settings": {"trainer": {"max_epochs": epochs}, "data": {"init_args": {"variant": "8x8"}}},
        "seeds": list(range(seeds)),
        "backbones": [backbone],
        "plugs": [None, {"block": "SpectralNonlocal", "at": "stage2.-1"}],
    }
    return yaml.safe_dump(content)


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin the study, or go on with it, in a process group of its own."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([*COMMAND, *options], cwd=folder, stdout=log, stderr=log, start_new_session=True)


def records(folder: Path) -> dict[str, dict]:
    """Every record by the name of its file."""
    return {path.name: json.loads(path.read_bytes()) for path in sorted(folder.glob("runs/records/*.json"))}


def disturbed(folder: Path, kills: int, within: float, options: list[str]) -> tuple[int, list[int]]:
    """Kill the study ``kills`` times within so many seconds after its start; kills, records at each."""
    found: list[int] = []
    while len(found) < kills:
        process = start(folder, *options)
        try:
            process.wait(random.uniform(0, within))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            found.append(len(records(folder)))
            continue
        if process.returncode:
            sys.exit(f"the study ended by itself with exit code {process.returncode}: {folder}/log")
        break
    if start(folder, *options).wait():
        sys.exit(f"the study did not end well: {folder}/log")
    return len(found), found


def leaderboard(folder: Path, like: dict[str, dict]) -> str:
    """The leaderboard as CSV, with what the clock says replaced by that of other records."""
    copies = folder / "copies"
    shutil.copytree(folder / "runs" / "records", copies)
    for name, record in records(folder).items():
        record |= {field: like[name][field] for field in MEASURED}
        (copies / name).write_text(json.dumps(record))
    command = [sys.executable, "-m", "blockyard", "leaderboard", "--records", "copies", "--csv", "table.csv"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return (folder / "table.csv").read_text()


def differences(whole: Path, killed: Path) -> list[str]:
    """What the killed study has otherwise than the undisturbed one."""
    expected, found = records(whole), records(killed)
    lines = [f"{name}: lost" for name in expected.keys() - found.keys()]
    lines += [f"{name}: double or foreign" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        one, other = expected[name], found[name]
        fields = [key for key in one if key not in (*MEASURED, "scores", "scores_sha256") and one[key] != other[key]]
        lines += [f"{name}: {key} is {other[key]}, not {one[key]}" for key in fields]
        scores = [np.load(place / "runs/records" / entry["scores"]) for place, entry in ((whole, one), (killed, other))]
        lines += [f"{name}: other {key}" for key in scores[0] if not np.array_equal(scores[0][key], scores[1][key])]
    if not lines and leaderboard(whole, expected) != leaderboard(killed, expected):
        lines.append("the leaderboards differ")
    return lines


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--within", type=float, default=18, help="seconds after a start that a kill comes within")
    parser.add_argument("--jobs", type=int, help="runs at a time; none: in one process")
    parser.add_argument("--seed", type=int, help="of the moments of the kills")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    options = ["--jobs", str(arguments.jobs)] if arguments.jobs else []
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place) / "whole", Path(place) / "killed"
        for folder in (whole, killed):
            folder.mkdir()
            (folder / "kills.yaml").write_text(study(arguments.epochs, arguments.seeds))
        begin = time.monotonic()
        if start(whole, *options).wait():
            sys.exit((whole / "log").read_text())
        print(f"undisturbed: {len(records(whole))} records in {time.monotonic() - begin:.0f} s", flush=True)
        begin = time.monotonic()
        kills, at = disturbed(killed, arguments.kills, arguments.within, options)
        print(f"killed {kills} times, with so many records then: {at}; {time.monotonic() - begin:.0f} s in all")
        found = differences(whole, killed)
        print("\n".join(found) or f"the same {len(records(killed))} records and the same leaderboard")
        sys.exit(1 if found or kills < arguments.kills else 0)


if __name__ == "__main__":
    main()
