"""A few pictures with boxes; as a script, finds objects in them as one of the processes of WORLD_SIZE."""

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
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam

from blockyard.backbones import Stage
from blockyard.datamodules import COCODetection
from blockyard.heads import FPN
from blockyard.tasks.detection import ObjectDetection

CASES = (5, 1)
"""Test pictures: divides unevenly by two processes; leaves one without any."""
CLASSES = ("square", "bar")


def write(root: Path, train: int = 8, test: int = 5) -> Path:
    """White squares and wide bars on grey, one or two a picture, of sizes from 40 to 56 pixels."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        images, annotations = [], []
        for number in range(count):
            height, width = 40 + 4 * (number % 4), 56 - 4 * (number % 3)
            picture = rng.integers(60, 120, (height, width, 3), dtype=np.uint8)
            for place in range(1 + number % 2):
                label = int(rng.integers(2))
                box = [2 + 22 * place, int(rng.integers(2, 14)), 18, 18 if label == 0 else 9]
                picture[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = 250
                row = {"id": len(annotations), "image_id": number, "category_id": 3 + label, "bbox": box}
                annotations.append(row)
            (root / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / part / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        kinds = [{"id": 3 + label, "name": name} for label, name in enumerate(CLASSES)]
        file = root / "annotations" / f"instances_{part}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": kinds}))
    return root


def data(root: Path, **options: Any) -> COCODetection:
    plain = {"size": (48, 48), "batch_size": 2, "num_workers": 0, "seed": 0, "val_fraction": 0.25}
    return COCODetection(str(root), **(plain | options))


class TinyMaps(nn.Module):
    """Three stages of stride 4, 8 and 16."""

    stages = (Stage("first", 8, 4), Stage("second", 16, 8), Stage("third", 16, 16))

    def __init__(self, num_classes: int = 0, in_channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 8, 3, 4, 1)
        self.second = nn.Conv2d(8, 16, 3, 2, 1)
        self.third = nn.Conv2d(16, 16, 3, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.first(x).relu()
        second = self.second(first).relu()
        return [first, second, self.third(second).relu()]


def task(**options: Any) -> ObjectDetection:
    torch.manual_seed(0)
    plain = {"num_classes": 2, "input_shape": (3, 48, 48), "backbone": TinyMaps, "optimizer": partial(Adam, lr=0.003)}
    neck = {} if options.get("detector") == "SSDLite" else {"neck": partial(FPN, channels=64)}
    return ObjectDetection(**(plain | neck | {"min_score": 0.01} | options))


def trainer(devices: int = 1, **options: Any) -> Trainer:
    plain = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    strategy = "ddp" if devices > 1 else "auto"
    return Trainer(
        accelerator="cpu", devices=devices, strategy=strategy, use_distributed_sampler=False, **(plain | options)
    )


def about(batch: dict[str, Any]) -> list[dict[str, Tensor]]:
    """What stands in for a trained network: the true boxes, moved, and one that is nowhere; a function of the index."""
    found = []
    for target, index in zip(batch["target"], batch["index"].tolist(), strict=True):
        g = torch.Generator().manual_seed(index)
        moved = target["boxes"] + torch.randn(target["boxes"].shape, generator=g)
        boxes, labels = torch.cat([moved, moved[:1] + 15]), torch.cat([target["labels"], target["labels"][:1]])
        # scores that are alike across pictures: which comes first is the order of the pictures
        found.append({"boxes": boxes, "labels": labels, "scores": torch.full((len(boxes),), 0.5)})
    return found


def evaluate(root: Path, pictures: int, devices: int) -> dict[str, Any]:
    module, sets, runner = task(), data(root), trainer(devices)
    module.find = about
    sets._listed["test"] = sets.list_boxes("test").take(range(pictures))
    tested = runner.test(module, sets, verbose=False)[0]
    validated = runner.validate(module, sets, verbose=False)[0]
    scores = {name: values.tolist() for name, values in module.sample_scores.items()}
    return {"tested": tested, "validated": validated, "scores": scores}


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, world = Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1"))
    rank = os.environ.get("LOCAL_RANK", "0")
    pictures_of = write(place / f"pictures-{world}-{rank}")
    results = {str(pictures): evaluate(pictures_of, pictures, devices=world) for pictures in CASES}
    (place / f"{rank}.json").write_text(json.dumps(results))
    os._exit(0)  # torch may abort in a destructor once all is written
