"""Memory and time of ``predict`` by the size of a picture, whole and in tiles, and what the seams change.

A network of random weights, PreResNet-8 with a SegformerHead, labels a TIFF of photographs side by side, compressed by
deflate in blocks of 256. Every prediction runs in a process of its own, so that its peak is its own: the peak of the
process less what it holds before the prediction. Seconds are of processor time, one thread. Of the pictures that are
also predicted whole, the share of pixels with another label is told.

    python benchmarks/tiled.py --csv benchmarks/results/tiled.csv
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import csv_files
import numpy as np
import rasterio
import torch
from lightning.pytorch import Trainer
from PIL import Image
from rasterio.windows import Window
from torch.optim import SGD

from blockyard.backbones import BackboneFeatures, PreResNet
from blockyard.datamodules import ImageMaskFolder
from blockyard.samples.photographs import read_photographs
from blockyard.tasks import SemanticSegmentation
from blockyard.tasks.segmentation.mask_writer import MaskWriter

SIDES, WHOLE = (1024, 5120, 10240), (1024, 5120)
TILE, OVERLAP, CLASSES = 1024, 128, 7
BAND = 1024


def write_picture(path: Path, side: int) -> None:
    """Write photographs side by side, band by band."""
    photograph = read_photographs()[0]
    height, width = photograph.shape[:2]
    columns = np.arange(side) % width
    options = {"compress": "deflate", "photometric": "RGB", "tiled": True, "blockxsize": 256, "blockysize": 256}
    kind = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", **kind, **options) as file:
        for start in range(0, side, BAND):
            band = photograph[(start + np.arange(BAND)) % height][:, columns]
            file.write(np.moveaxis(band, -1, 0), window=Window(0, start, side, BAND))


def task() -> SemanticSegmentation:
    """The network, the same weights each time."""
    torch.manual_seed(0)

    def backbone(num_classes: int, in_channels: int) -> BackboneFeatures:
        return BackboneFeatures(
            num_classes, in_channels, backbone=lambda *sizes: PreResNet(*sizes, depth=8, stem_stride=2)
        )

    head = {"type": "SegformerHead", "channels": 32}
    module = SemanticSegmentation(CLASSES, (3, 96, 96), backbone=backbone, decode_head=head, optimizer=SGD)
    with torch.no_grad():  # so that each class is somewhere the likeliest
        module.network.decode_head.conv_seg.weight.mul_(10)
    return module


def predict(picture: Path, output: Path, tiled: bool) -> dict[str, Any]:
    """Predict a picture; to be called in a process of its own."""
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    tiles = {"predict_tile": (TILE, TILE), "predict_overlap": OVERLAP} if tiled else {}
    names = [f"class {number}" for number in range(CLASSES)]
    data = ImageMaskFolder(
        str(picture.parent), names, predict_folder=str(picture), batch_size=1, num_workers=0, **tiles
    )
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer, module = Trainer(accelerator="cpu", devices=1, callbacks=[MaskWriter(output)], **off), task()
    module.predict_step(
        {"input": [torch.zeros(3, 64, 64)], "size": torch.tensor([[64, 64]]), "index": torch.zeros(1)}, 0
    )
    before, start = peak(), time.process_time()
    trainer.predict(module, data, return_predictions=False)
    return {"seconds": round(time.process_time() - start, 1), "peak_MB": round((peak() - before) / 1e6)}


def peak() -> int:
    """The most bytes that the process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_a_process(picture: Path, output: Path, tiled: bool) -> dict[str, Any]:
    """What :func:`predict` gives."""
    line = [sys.executable, __file__, "--one", str(picture), str(output), str(int(tiled))]
    found = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(found.splitlines()[-1])


def differing(first: Path, second: Path) -> float:
    """Share of the pixels of two masks that differ."""
    masks = [np.asarray(Image.open(path)) for path in (first, second)]
    return float((masks[0] != masks[1]).mean())


def rows(sides: tuple[int, ...]) -> list[dict[str, Any]]:
    """A row for each picture and way."""
    found = []
    hardware = {"hardware": platform.processor() or platform.machine(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            picture = Path(folder) / f"{side}.tif"
            write_picture(picture, side)
            for tiled in (False, True) if side in WHOLE else (True,):
                output = Path(folder) / str(tiled)
                row = {"side": side, "way": f"tiles of {TILE}, overlap {OVERLAP}" if tiled else "whole"}
                found.append({**row, **in_a_process(picture, output, tiled), "differing": "", **hardware})
                if tiled and side in WHOLE:
                    masks = [Path(folder) / way / "masks" / f"{side}.png" for way in ("False", "True")]
                    found[-1]["differing"] = differing(*masks)
                print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure, print each row and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None
    if arguments.one:
        picture, output, tiled = arguments.one
        print(json.dumps(predict(Path(picture), Path(output), tiled == "1")))
        return
    csv_files.write(arguments.csv, rows(tuple(arguments.sides)))


if __name__ == "__main__":
    main()
