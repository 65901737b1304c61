"""What a study costs beside a plain loop that trains and tests the same networks: processor seconds, in turns.

Fifteen short runs on the digits, of five networks with three seeds: PreResNet-8 without a block and with four. The
plain loop makes the same networks by the suite's classes, and trains them as a script of thirty lines would: arrays in
memory, the same batches, SGD, cosine rates, validation and test, nothing written. The study besides reads a
configuration a run, builds data and Trainer, logs, keeps checkpoints, counts costs, measures speed and memory, and
writes records. Each is a process of its own on one thread; what both spend on their imports is measured alone.

    python benchmarks/study.py --rounds 3
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results" / "study.csv"
EPOCHS, BATCH, RATE, SEEDS = 3, 64, 0.05, (0, 1, 2)
BLOCKS = (None, "SqueezeExcitation", "ECA", "Nonlocal", "SpectralNonlocal")
STUDY = """\
config: image_classification/digits.yaml
settings:
  model: {{init_args: {{backbone: {{class_path: PreResNet, init_args: {{depth: 8}}}}, optimizer: {optimizer}}}}}
  data: {{init_args: {{num_workers: 0, augment: false}}}}
  trainer: {{max_epochs: {epochs}}}
seeds: [0, 1, 2]
plugs: [{plugs}]
"""


def study() -> None:
    """The runs by ``blockyard study``, in the working directory."""
    from blockyard.cli import main

    optimizer = f"{{class_path: SGD, init_args: {{lr: {RATE}, momentum: 0.9, weight_decay: 0.0001}}}}"
    plugs = ", ".join("null" if block is None else f"{{block: {block}, at: stage2.0}}" for block in BLOCKS)
    Path("study.yaml").write_text(STUDY.format(optimizer=optimizer, epochs=EPOCHS, plugs=plugs))
    assert main(["study", "study.yaml"]) == 0


def loop() -> None:
    """The same networks on the same arrays."""
    import torch
    from torch.nn import functional as F

    from blockyard import blocks
    from blockyard.backbones import PreResNet
    from blockyard.datamodules import Digits
    from blockyard.plugging import plug

    data = Digits(batch_size=BATCH)
    parts = {}
    for name in ("train", "val", "test"):
        split = data.split(name)
        samples = [split[row] for row in range(len(split.names))]
        pixels = torch.stack([torch.as_tensor(sample["input"]) for sample in samples]).permute(0, 3, 1, 2)
        x = (pixels.float() / 255 - torch.tensor(data.mean).view(-1, 1, 1)) / torch.tensor(data.std).view(-1, 1, 1)
        parts[name] = x, torch.tensor([int(sample["target"]) for sample in samples])
    x, y = parts["train"]
    for seed in SEEDS:
        for block in BLOCKS:
            torch.manual_seed(seed)
            network = PreResNet(10, in_channels=x.shape[1], depth=8)
            if block is not None:
                plug(network, getattr(blocks, block), "stage2.0")
            optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, weight_decay=1e-4)
            steps = EPOCHS * (len(x) // BATCH)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for _ in range(EPOCHS):
                network.train()
                for rows in torch.randperm(len(x))[: len(x) // BATCH * BATCH].split(BATCH):
                    optimizer.zero_grad()
                    F.cross_entropy(network(x[rows]), y[rows]).backward()
                    optimizer.step()
                    schedule.step()
                score = accuracy(network.eval(), *parts["val"])
            print(block, seed, score, accuracy(network.eval(), *parts["test"]), flush=True)


def accuracy(network: Any, x: Any, y: Any) -> float:
    """The share of samples ``(n, C, H, W)`` whose label ``(n,)`` is found."""
    import torch

    with torch.inference_mode():
        found = torch.cat([network(part) for part in x.split(BATCH)]).argmax(1)
    return round(float((found == y).float().mean()), 4)


def imports() -> None:
    """What both load before they begin."""
    import blockyard.backbones
    import blockyard.composing.suite
    import blockyard.tasks  # noqa: F401


CANDIDATES = {"study": study, "plain loop": loop, "imports": imports}


def spent(name: str) -> float:
    """Processor seconds of a candidate, in a process of its own and an empty folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--one", name]
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=CANDIDATES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        CANDIDATES[options.one]()
        return
    import torch

    times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(options.rounds):
        for name in CANDIDATES:
            times[name].append(spent(name))
            print(name, round(times[name][-1], 1), flush=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["candidate", "cpu_seconds", "least", "most", "times_plain", "hardware", "torch"])
        about = [f"{platform.machine()}, {os.cpu_count()} cores", torch.__version__]
        for name, found in times.items():
            ratio = median(a / b for a, b in zip(found, times["plain loop"], strict=True))
            row = [round(median(found), 1), round(min(found), 1), round(max(found), 1), round(ratio, 3)]
            writer.writerow([name, *row, *about])
            print(name, row)


if __name__ == "__main__":
    main()
