"""Times the data modules of pictures with masks: reading, augmenting and collating, beside mmsegmentation's pipeline.

Both read the same files in one process, at the sizes of Cityscapes and of Pascal VOC, and make the same crops: random
scale 0.5 to 2, category-max-ratio crop, flip, photometric distortion, normalisation and padding in batches of four.

    python benchmarks/segmentation_loading.py
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from statistics import median

import cv2
import torch

import blockyard.backbones.adapters.mmseg_import  # noqa: F401 - before mmseg
from blockyard.datamodules.loading import SeededSplit
from blockyard.datamodules.segmentation.base import SegmentationDataModule
from blockyard.datamodules.segmentation.cityscapes import Cityscapes
from blockyard.datamodules.segmentation.pascal_voc import PascalVOC
from blockyard.samples.tiny_scenes import write_tiny_cityscapes, write_tiny_voc

BATCH, REPEATS = 4, 9


def main() -> None:
    """Print milliseconds a picture, the median over batches."""
    warnings.simplefilter("ignore")  # the counts are not the published ones
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_cityscapes(folder, size=(1024, 2048))
        write_tiny_voc(folder, size=(375, 500))
        options = {"verify": False, "val_fraction": 0, "num_workers": 0}
        print("| data | crop | blockyard, ms | mmsegmentation, ms |\n| --- | --- | --: | --: |")
        for data in (Cityscapes(folder, **options), PascalVOC(folder, resize=(2048, 512), **options)):
            crop = "×".join(map(str, data.size))
            print(f"| {type(data).__name__} | {crop} | {timed(ours(data)):.1f} | {timed(theirs(data)):.1f} |")


def timed(load: Callable[[int], object]) -> float:
    """Milliseconds a picture of ``load``, which makes one batch; the first is not counted."""
    load(0)
    seconds = []
    for number in range(REPEATS):
        start = time.perf_counter()
        load(number)
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds) / BATCH


def ours(data: SegmentationDataModule) -> Callable[[int], object]:
    """The data module's own way."""
    split = SeededSplit(data.split("train"), 0)
    return lambda epoch: split.collate(split.__getitems__([(epoch, index) for index in range(BATCH)]))


def theirs(data: SegmentationDataModule) -> Callable[[int], object]:
    """The pipeline of mmsegmentation's configurations, and its preprocessor."""
    import mmseg.datasets.transforms  # noqa: F401 - registers them
    from mmcv.transforms import Compose
    from mmseg.models import SegDataPreProcessor
    from mmseg.registry import TRANSFORMS

    size = tuple(data.size)
    frame = data.resize or (2048, 1024)
    steps = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "RandomResize", "scale": frame, "ratio_range": (0.5, 2.0), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": size, "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
        {"type": "PackSegInputs"},
    ]
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    mean, std = ([255 * value for value in values] for values in (data.mean, data.std))
    finish = SegDataPreProcessor(mean=mean, std=std, bgr_to_rgb=True, size=size, pad_val=0, seg_pad_val=255)
    split = data.split("train")
    rest = {"label_map": None, "reduce_zero_label": False}
    pairs = zip(split.images.paths, split.masks.paths, strict=True)
    files = [{"img_path": str(image), "seg_map_path": str(mask), **rest} for image, mask in pairs]

    def load(epoch: int) -> object:
        samples = [pipeline({**file, "seg_fields": []}) for file in files[:BATCH]]
        batch = {key: [sample[key] for sample in samples] for key in samples[0]}
        return finish(batch, training=True)

    return load


if __name__ == "__main__":
    main()
