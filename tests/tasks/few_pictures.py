"""A handful of made-up pictures with masks; as a script, evaluates them as one of the processes of WORLD_SIZE."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim import SGD

from blockyard.backbones import Backbone, Stage
from blockyard.datamodules import DataModule
from blockyard.datamodules.segmentation.masked_pictures import Crops, WholePictures
from blockyard.tasks.segmentation.cases import SegmentationCases
from blockyard.tasks.segmentation.mask_writer import MaskWriter
from blockyard.tasks.segmentation.report import SegmentationReport
from blockyard.tasks.segmentation.task import SemanticSegmentation

CLASSES = 4
CASES = (8, 7, 1)
"""Pictures: divides by two processes; does not; leaves one without any."""
SIZES = ((24, 32), (17, 23), (24, 32), (32, 24))
UNLABELLED = 3
"""The picture without a labelled pixel."""
HEAD = {"type": "FCNHead", "channels": 8, "num_convs": 1}
AUXILIARY = {"type": "FCNHead", "channels": 8, "num_convs": 1, "loss_decode": {"type": "CrossEntropyLoss"}}


class FewPictures(DataModule):
    """Blocks of one colour a class, in noise, the same in every split; some pixels are ignored."""

    palette = ((0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200))
    labels = {0: 0, 1: 1, 2: 2, 3: 3, 255: 255}  # noqa: RUF012

    def __init__(self, pictures: int, batch_size: int = 4) -> None:
        super().__init__(batch_size, num_workers=0, seed=0)
        self.pictures = pictures

    @property
    def classes(self) -> list[str]:
        return ["ground", "red", "green", "blue"]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, 16, 16)

    def load(self, split: str) -> WholePictures | Crops:
        pairs = [self.pair(index) for index in range(self.pictures)]
        images, masks = [image for image, _ in pairs], [mask for _, mask in pairs]
        names = [f"folder {index % 2}/{index}.jpg" for index in range(self.pictures)]
        kind, transform = (Crops, A.Compose([A.RandomCrop(16, 16)])) if split == "train" else (WholePictures, None)
        return kind(images, None if split == "predict" else masks, names, transform, (0.5,) * 3, (0.2,) * 3)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(index)
        size = SIZES[index % len(SIZES)]
        coarse = generator.integers(0, CLASSES, (5, 5), dtype=np.uint8)
        mask = np.kron(coarse, np.ones((8, 8), np.uint8))[: size[0], : size[1]]
        image = np.array(self.palette)[mask] + generator.integers(0, 56, (*size, 3))
        mask[0] = 255
        return image.astype(np.uint8), np.full_like(mask, 255) if index == UNLABELLED else mask


class TinyMaps(Backbone):
    """Two stages. In double precision, a picture's labels are the same whatever the size of the batch."""

    stages = (Stage("first", 8, 2), Stage("second", 16, 4))

    def __init__(self, num_classes: int = 0, in_channels: int = 3) -> None:
        super().__init__(num_classes, in_channels)
        self.first = nn.Conv2d(in_channels, 8, 3, 2, 1)
        self.second = nn.Conv2d(8, 16, 3, 2, 1)

    def features(self, x: Tensor) -> list[Tensor]:
        first = self.first(x.to(self.first.weight)).relu()
        return [first, self.second(first).relu()]


def task(**options: Any) -> SemanticSegmentation:
    torch.manual_seed(0)
    plain = {"backbone": TinyMaps, "decode_head": HEAD, "optimizer": partial(SGD, lr=0.1)}
    module = SemanticSegmentation(CLASSES, (3, 16, 16), **(plain | options))
    with torch.no_grad():
        module.network.decode_head.conv_seg.weight.mul_(100)  # far from uniform, each pixel in its own way
    return module


def trainer(devices: int = 1, **options: Any) -> Trainer:
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if devices > 1 else "auto"
    return Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, use_distributed_sampler=False, **(plain | options)
    )


def evaluate(pictures: int, directory: Path, devices: int) -> dict[str, Any]:
    """Metrics, scores, confusions and files; the same on every process."""
    views = {"inference": "slide", "window": (16, 16), "stride": (9, 9), "flip_test": True}
    module = task(overlays=True, boundary_tolerance=0.05, **views).double()
    data, folder = FewPictures(pictures), directory / str(pictures)
    reports = [kind(folder) for kind in (SegmentationReport, SegmentationCases, MaskWriter)]
    with_reports = trainer(devices, callbacks=reports)
    tested = with_reports.test(module, data, verbose=False)[0]
    validated = with_reports.validate(module, data, verbose=False)[0]
    with_reports.predict(module, data, return_predictions=False)
    with_reports.strategy.barrier()
    return {
        "metrics": tested | validated,
        "scores": {name: values.tolist() for name, values in module.sample_scores.items()},
        "pictures": module.pictures["index"].tolist(),
        "confusion": module.pixel_confusion.tolist(),
        "files": {
            path.relative_to(folder).as_posix(): path.read_bytes().hex()[-200:]
            for path in sorted(folder.rglob("*.*"))
            if path.is_file()
        },
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    results = {str(pictures): evaluate(pictures, place, devices=world) for pictures in CASES}
    (place / f"{os.environ.get('LOCAL_RANK', '0')}.json").write_text(json.dumps(results))
