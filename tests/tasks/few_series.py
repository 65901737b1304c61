"""A handful of recordings in windows; as a script, evaluates them as one of WORLD_SIZE."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import SignalFolder
from blockyard.tasks import SignalClassification
from blockyard.tasks.classification.predictions import PredictionsCSV

CLASSES = ("run", "sit", "walk")
CASES = (3, 2, 1)
"""Recordings of a class in the test: 19 windows, which two processes do not share equally; 13; 6."""
SAMPLES = (45, 8, 20, 30)
BROKEN = "test/sit/1.npy"


def write(root: Path, tested: int) -> Path:
    """Noise around waves of another pace in each class, of several lengths; one recording of the test is damaged."""
    random = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", tested)):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                time = np.arange(SAMPLES[(number + label) % len(SAMPLES)])[:, None]
                series = np.sin(time * (label + 1) / 3 + random.uniform(0, 6, 2)) + random.normal(size=(len(time), 2))
                np.save(root / split / name / f"{number}.npy", series)
    if (root / BROKEN).exists():
        (root / BROKEN).write_bytes(b"")
    return root


class Exact(PreResNet):
    """In double precision, its float32 logits of a window are the same whatever the size of the batch."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels, depth=8, spatial_dims=1)
        self.double()

    def map_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        last, logits = super().map_and_logits(x.double())
        return last, logits.float()


def data(root: Path, **options: Any) -> SignalFolder:
    return SignalFolder(str(root), sample_rate=10, window=1.6, hop=0.8, batch_size=4, num_workers=0, seed=0, **options)


def task(module: SignalFolder, **options: Any) -> SignalClassification:
    torch.manual_seed(0)
    made = SignalClassification(Exact, len(CLASSES), module.input_shape, optimizer=partial(SGD, lr=0.1), **options)
    torch.nn.init.normal_(made.network.fc.weight, std=3)  # far from uniform, each window in its own way
    return made


def trainer(devices: int = 1, **options: Any) -> Trainer:
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if devices > 1 else "auto"
    return Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, use_distributed_sampler=False, **plain, **options
    )


def evaluate(tested: int, directory: Path, devices: int) -> dict[str, Any]:
    """Metrics, outcomes and predictions; the same on every process."""
    root = write(directory / f"{os.environ.get('LOCAL_RANK', '0')}-{tested}", tested)
    module = data(root, predict_folder=str(root / "test"))
    network, path = task(module), directory / f"{tested}"
    with_table = trainer(devices, callbacks=[PredictionsCSV(path)])
    metrics = with_table.test(network, module, verbose=False)[0]
    missing = network.missing.tolist()
    metrics |= with_table.validate(network, module, verbose=False)[0]
    metrics.pop("val/loss")  # a mean of the processes' means: its last digits depend on their number
    with_table.predict(network, module, return_predictions=False)
    with_table.strategy.barrier()
    lines = (path / "predictions.csv").read_text().splitlines()
    return {
        "metrics": metrics,
        "outcomes": {name: values.tolist() for name, values in network.outcomes.items()},
        "missing": missing,
        "predictions": [line.rpartition(",")[0] for line in lines],  # without the seconds
        "windows": (path / "windows.csv").read_text().splitlines(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    results = {str(tested): evaluate(tested, place, devices=world) for tested in CASES}
    (place / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(results))
