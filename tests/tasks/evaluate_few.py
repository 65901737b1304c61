"""A script: evaluates a fixed network on the first few digits, alone or as one of the processes of WORLD_SIZE."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.datamodules.images import Images
from blockyard.tasks import ImageClassification
from blockyard.tasks.classification.predictions import PredictionsCSV

SAMPLES = (8, 7, 1)
"""Divides by two processes; does not; leaves one without a sample."""


class Few(Digits):
    """The first samples of every split of the digits."""

    def __init__(self, samples: int) -> None:
        super().__init__(variant="8x8", batch_size=4)
        self.samples = samples

    def load(self, split: str) -> Images:
        whole = super().load(split)
        whole.images = whole.images[: self.samples]
        whole.names = whole.names[: self.samples]
        whole.targets = None if whole.targets is None else whole.targets[: self.samples]
        return whole


class Exact(PreResNet):
    """In double precision, its float32 logits of a picture are the same whatever the size of the batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.double()

    def map_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        last, logits = super().map_and_logits(x.double())
        return last, logits.float()


def evaluate(samples: int, directory: Path, devices: int) -> dict[str, Any]:
    """Metrics, scores of the samples, and predictions; the same on every process."""
    torch.manual_seed(0)
    module = ImageClassification(Exact, num_classes=10, input_shape=(1, 8, 8), optimizer=partial(SGD, lr=0.1))
    path = directory / f"{samples}"
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[PredictionsCSV(path)],
    )
    data = Few(samples)
    tested = trainer.test(module, data, verbose=False)[0]
    validated = trainer.validate(module, data, verbose=False)[0]
    validated.pop("val/loss")  # a mean of the processes' means: its last digits depend on their number
    trainer.predict(module, data, return_predictions=False)
    trainer.strategy.barrier()
    return {
        "metrics": tested | validated,
        "scores": {name: values.tolist() for name, values in module.sample_scores.items()},
        "predictions": [
            line.rpartition(",")[0] for line in (path / "predictions.csv").read_text().splitlines()
        ],  # without the seconds
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    results = {str(samples): evaluate(samples, place, devices=world) for samples in SAMPLES}
    (place / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(results))
