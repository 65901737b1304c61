"""A detector trained by the suite, and by a plain loop as torchvision's references have it: scores and processor time.

Both train torchvision's FCOS over PreResNet-8, from the same weights, on the 540 pictures of BoxedScenes in the same
order with the same augmentation, by AdamW with a constant rate, and then find objects in the 150 test pictures. The
plain loop calls torchvision's class itself. Reading pictures is in both times; seconds are processor time of an epoch,
both by turns in one process, on one thread: the least of each training, as other work on the machine only adds to it.

    python benchmarks/detection.py --scenes DIR
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import time
from functools import partial
from pathlib import Path
from typing import Any

import csv_files
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import nn
from torch.optim import AdamW

from blockyard.backbones import PreResNet
from blockyard.heads import FPN
from blockyard.samples.modules import BoxedScenes
from blockyard.tasks.detection import ObjectDetection
from blockyard.tasks.detection.scores import mean_precisions

RESULTS = Path(__file__).parent / "results" / "detection.csv"
RATE = 1e-3
SILENT = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


def task(data: BoxedScenes, seed: int) -> ObjectDetection:
    """The network, with the weights of a seed."""
    seed_everything(seed)
    trunk: Any = partial(PreResNet, depth=8, stem_stride=4, dropout=0.0)
    neck: Any = partial(FPN, channels=64)
    return ObjectDetection(data.num_classes, data.input_shape, trunk, neck=neck, optimizer=partial(AdamW, lr=RATE))


class Clock(Callback):
    """Processor seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        """Begin."""
        self.begin = time.process_time()

    def on_train_epoch_end(self, *_: Any) -> None:
        """End."""
        self.seconds.append(time.process_time() - self.begin)


def by_the_suite(module: ObjectDetection, data: BoxedScenes, epochs: int, clock: Clock) -> None:
    """Train as ``blockyard fit`` does."""
    options: dict[str, Any] = {"limit_val_batches": 0, "use_distributed_sampler": False, **SILENT}
    Trainer(accelerator="cpu", max_epochs=epochs, callbacks=[clock], **options).fit(module, data)


def by_a_plain_loop(network: nn.Module, data: BoxedScenes, epochs: int, clock: Clock) -> None:
    """Train torchvision's detector as its references do: lists of pictures and of targets, the sum of all losses."""
    network.train()
    optimizer = AdamW(network.parameters(), lr=RATE)
    loader: Any = data.train_dataloader()
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        clock.on_train_epoch_start()
        for batch in loader:
            loss = sum(network(list(batch["input"]), batch["target"]).values())
            assert torch.isfinite(loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clock.on_train_epoch_end()


@torch.inference_mode()
def score(module: ObjectDetection, data: BoxedScenes) -> float:
    """MAP of the test pictures."""
    module.eval()
    pairs = [pair for batch in data.test_dataloader() for pair in zip(module.find(batch), batch["target"], strict=True)]
    return mean_precisions([found for found, _ in pairs], [true for _, true in pairs])["mAP"]


def measured(way: str, root: str, seed: int, epochs: int) -> dict[str, Any]:
    """The score and the seconds of one training."""
    data = BoxedScenes(root, batch_size=16, num_workers=0, seed=seed)
    data.setup("fit")
    module = task(data, seed)
    clock = Clock()
    if way == "blockyard":
        by_the_suite(module, data, epochs, clock)
    else:
        by_a_plain_loop(module.network.detector, data, epochs, clock)
    found = {"CPU s an epoch": round(min(clock.seconds), 2), "mAP": round(score(module, data), 6)}
    return {"way": way, "seed": seed, "epochs": epochs, **found}


def main() -> None:
    """Train by both, write the CSV, and say how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", default="data/boxed_scenes", help="folder of the pictures, made if missing")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--csv", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    hardware = {"hardware": f"{platform.machine()}, {os.cpu_count()} cores", "torch": torch.__version__}
    rows: list[dict[str, Any]] = []
    ways = ("blockyard", "plain loop")
    for way in ways:
        measured(way, arguments.scenes, 0, 1)  # what is loaded and allocated once is in neither time
    for seed in range(arguments.seeds):
        for way in ways if seed % 2 else reversed(ways):
            rows.append(measured(way, arguments.scenes, seed, arguments.epochs) | hardware)
            print(rows[-1], flush=True)
    csv_files.write(arguments.csv, rows)


if __name__ == "__main__":
    main()
