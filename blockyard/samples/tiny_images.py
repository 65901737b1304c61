"""Parts of three photographs in the layout of ImageNet: made in a moment, for tests and trials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from blockyard.samples.photographs import Pixels, crop, read_photographs

WNIDS = ("n03877845", "n11939491", "n12102133")
"""Palace, daisy and grass, in the order that the photographs are read in."""
DEVKIT_IDS = (2, 3, 1)
"""What the development kit calls them: in another order than that of the labels."""
Form = Literal["folders", "devkit", "kaggle"]


def write_tiny_images(
    root: str | Path,
    form: Form = "folders",
    train: int = 6,
    val: int = 3,
    size: tuple[int, int] = (75, 100),
    seed: int = 0,
) -> Path:
    """Write ImageNet of three classes, parts of photographs: read it with ``verify=False``.

    The first validation picture is a CMYK JPEG and the second a PNG that is called JPEG, as some of ImageNet's are.

    Args:
        root: Folder to write into.
        form: One folder a class in ``val``; or flat, with the development kit (takes scipy); or as Kaggle has it.
        train: Training pictures of each class.
        val: Validation pictures of each class.
        size: Height and width; every second picture stands upright.
        seed: The same seed gives the same files.

    Returns:
        ``root``.
    """
    root = Path(root)
    folder = root / "ILSVRC" / "Data" / "CLS-LOC" if form == "kaggle" else root
    for label, number, picture in parts_of_photographs(3 * train, size, seed):
        save(folder / "train" / WNIDS[label] / f"{WNIDS[label]}_{number}.JPEG", picture)
    labels = []
    for label, number, picture in parts_of_photographs(3 * val, size, seed + 1):
        place = folder / "val" / (WNIDS[label] if form == "folders" else "")
        kind = {0: "CMYK", 1: "PNG"}.get(number, "RGB")
        save(place / f"ILSVRC2012_val_{number + 1:08d}.JPEG", picture, kind)
        labels.append(label)
    if form == "devkit":
        _write_devkit(root / "ILSVRC2012_devkit_t12" / "data", labels)
    if form == "kaggle":
        rows = [f"ILSVRC2012_val_{number:08d},{WNIDS[label]} 1 2 30 40 " for number, label in enumerate(labels, 1)]
        (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows[::-1]]) + "\n")
    return root


def parts_of_photographs(count: int, size: tuple[int, int], seed: int) -> Iterator[tuple[int, int, Pixels]]:
    """Label, number and a part of the photograph of that label."""
    photographs = read_photographs()
    for number in range(count):
        random = np.random.default_rng([seed, number])
        yield number % 3, number, crop(random, photographs[number % 3], size[::-1] if number % 2 else size)


def save(path: Path, picture: Pixels, kind: str = "RGB") -> None:
    """Write a picture ``(H, W, 3)`` as a JPEG in a colour mode of Pillow, or as a PNG whatever it is called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    if kind == "PNG":
        image.save(path, format="PNG")
    else:
        image.convert(kind).save(path, format="JPEG", quality=90)


def _write_devkit(folder: Path, labels: list[int]) -> None:
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    fields = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")]
    leaves = [(number, WNIDS[label], "a, b", "c", 0) for label, number in enumerate(DEVKIT_IDS)]
    synsets = np.array([*sorted(leaves), (4, "n00001740", "entity", "all of it", 3)], dtype=fields)
    savemat(folder / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    truth = [str(DEVKIT_IDS[label]) for label in labels]
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(truth) + "\n")
