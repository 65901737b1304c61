"""What it takes to list a class folder of a million files, and to say which data they are.

    python benchmarks/listing.py --files 1300000 --out benchmarks/results/listing.csv

Files are empty and named as ImageNet's; torchvision's ``ImageFolder`` is the peer. Each is timed in a process of its
own, after one listing that fills the cache of the file system.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import csv_files

CLASSES = 1000
WAYS = ("torchvision", "blockyard", "blockyard, fingerprint")


def write(root: Path, files: int) -> None:
    """Empty files ``train/nXXXXXXXX/nXXXXXXXX_i.JPEG``."""
    for label in range(CLASSES):
        folder = root / "train" / f"n{label:08d}"
        folder.mkdir(parents=True)
        for number in range(files // CLASSES):
            (folder / f"{folder.name}_{number}.JPEG").touch()


def timed(way: str, root: Path) -> float:
    """Seconds of one way."""
    if way == "torchvision":
        from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

        start = time.perf_counter()
        make_dataset(str(root / "train"), find_classes(str(root / "train"))[1], IMG_EXTENSIONS)
        return time.perf_counter() - start
    from blockyard.datamodules.class_folders import labelled_files, training_classes
    from blockyard.datamodules.fingerprints import fingerprint
    from blockyard.datamodules.images import PICTURES

    start = time.perf_counter()
    found = labelled_files(root / "train", training_classes(root, PICTURES), PICTURES)
    if way == "blockyard":
        return time.perf_counter() - start
    assert found.targets is not None
    start = time.perf_counter()
    fingerprint([found.names, found.targets])
    return time.perf_counter() - start


def main() -> None:
    """Measure, and write a row a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_300_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/listing.csv"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(timed(options.one[0], Path(options.one[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.files)
        rows = []
        for way in WAYS:
            command = [sys.executable, __file__, "--one", way, folder]
            runs = [float(subprocess.check_output(command)) for _ in range(options.repeats + 1)][1:]
            rows.append({"way": way, "files": options.files, "seconds": f"{min(runs):.2f}"})
            print(rows[-1])
    csv_files.write(options.out, rows)


if __name__ == "__main__":
    main()
