"""CPU seconds of what a person meets in the first hour: answers of the verbs, mistakes, and a trial of every task.

Each line runs in a process of its own, from an empty folder, its sample data written before. A training can't start
in less than its framework takes to come, so beside each stands `import lightning.pytorch.cli`, timed in the same round;
CPU time, user's and system's, does not depend on what else the machine is doing as much as the clock does.

    python benchmarks/startup.py --repeats 3
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

import csv_files

import blockyard

RESULTS = Path(__file__).parent / "results" / "startup.csv"
REFERENCE = "import lightning.pytorch.cli"
ANSWERS = (
    "--version",
    "--help",
    *(f"{verb} --help" for verb in ("fit", "export", "study", "leaderboard")),
    "configs",
    "leaderboard --records records",
    "fitt",
    "fit --confg image_classification/digits.yaml",
    "fit --config image_classification/digit.yaml",
    "test --ckpt_path no.ckpt",
    "export --ckpt_path no.ckpt",
    "leaderboard verify no.json --ckpt_path no.ckpt",
    "study no.yaml",
)
"""What needs no network."""
NETWORKS = (
    "blocks",
    "fit --config image_classification/digits.yaml --print_config",
    "study studies/digits.yaml --dry-run",
)
TRIALS = tuple(
    f"fit --config {config}.yaml --trainer.fast_dev_run true"
    for config in (
        "image_classification/digits",
        "action_recognition/human_actions",
        "semantic_segmentation/scenes",
        "person_reid/walkers",
        "audio_classification/spoken_commands",
        "signal_classification/motions",
        "image_restoration/noisy_photographs",
    )
)
LINES = {"answer": ANSWERS, "network": NETWORKS, "trial": TRIALS}


def seconds(arguments: list[str], folder: Path) -> float:
    """CPU seconds of a Python process and its children.

    Raises:
        RuntimeError: If it fails otherwise than by a mistake of the user's.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(Path(blockyard.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode not in (0, 2):
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(lines: dict[str, str], folder: Path, repeats: int) -> dict[str, tuple[float, float]]:
    """Medians of a line's seconds, and of its ratio to the reference of the same round.

    The reference comes before every line that takes as long as it does, so that both see the same machine.
    """
    taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
    reference = 0.0
    for _ in range(repeats):
        for number, (line, kind) in enumerate(lines.items()):
            if kind == "trial" or number == 0:
                reference = seconds(["-c", REFERENCE], folder)
                taken[REFERENCE].append((reference, reference))
            taken[line].append((seconds(["-m", "blockyard", *line.split()], folder), reference))
    return {
        line: (median(own for own, _ in pairs), median(own / beside for own, beside in pairs))
        for line, pairs in taken.items()
    }


def write_data(data: Path | None, folder: Path) -> None:
    """Have the sample data there, which only a first run of all writes; and some records."""
    if data:
        shutil.copytree(data, folder / "data")
    else:
        for line in TRIALS:
            seconds(["-m", "blockyard", *line.split()], folder)
    shutil.copytree(Path(__file__).parents[1] / "leaderboard" / "records", folder / "records")


def main() -> None:
    """Measure, and write a row a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--data", type=Path, help="a data/ with the sample sets, instead of writing them")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    compileall.compile_dir(Path(blockyard.__file__).parent, quiet=1)  # as pip leaves a package that it installs
    lines = {line: kind for kind in options.kinds for line in LINES[kind]}
    with tempfile.TemporaryDirectory() as name:
        write_data(options.data, Path(name))
        found = measured(lines, Path(name), options.repeats)
    where = {"hardware": f"{platform.machine()}, {os.cpu_count()} cores"}
    where |= {package: version(package) for package in ("lightning", "torch")}
    rows = []
    for line, kind in {REFERENCE: "reference", **lines}.items():
        own, ratio = found[line]
        rows.append({"kind": kind, "line": line, "cpu_seconds": f"{own:.2f}", "ratio": f"{ratio:.2f}", **where})
        print(f"{own:6.2f} s {ratio:5.2f}  {line}")
    csv_files.write(options.out, rows)


if __name__ == "__main__":
    main()
