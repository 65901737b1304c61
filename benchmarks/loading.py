"""How many pictures a second the loaders give, beside a plain torchvision data set that does the same work.

The pictures of CIFAR are noise in its published layout and size. Run: python benchmarks/loading.py
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from blockyard.datamodules import CIFAR10, DataModule, Digits
from blockyard.datamodules.images import Images
from blockyard.samples.cifar_like import python2_pickle

BATCH_SIZE = 128


class Plain(Dataset):
    """What a tutorial would write: a Pillow picture, torchvision transforms, one tensor a sample."""

    def __init__(self, images: Images, transform: transforms.Compose) -> None:
        self.images = [image.squeeze() for image in images.images]
        self.targets = images.targets
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, object]:
        image = self.transform(Image.fromarray(self.images[index]))
        return {"input": image, "target": int(self.targets[index]), "index": index}


def write_noise(root: Path) -> CIFAR10:
    """CIFAR-10 of the published size, filled with noise."""
    folder = root / CIFAR10.folder
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in (*CIFAR10.files["train"], *CIFAR10.files["test"]):
        pixels = generator.integers(0, 256, size=(10_000, 3072), dtype=np.uint8)
        labels = [row % 10 for row in range(10_000)]
        content = {"data": pixels, "labels": labels, "filenames": [f"{row}.png" for row in range(10_000)]}
        (folder / name).write_bytes(python2_pickle(content))
    (folder / CIFAR10.meta).write_bytes(python2_pickle({"label_names": [str(label) for label in range(10)]}))
    return CIFAR10(str(root), verify=False, batch_size=BATCH_SIZE)


def pictures_a_second(loader: DataLoader) -> float:
    """Best of three epochs; the first one also starts the workers."""
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        count = sum(len(batch["index"]) for batch in loader)
        rates.append(count / (time.perf_counter() - start))
    return max(rates)


def compare(data: DataModule, transform: transforms.Compose, table: Table) -> None:
    """Add one row for each number of workers."""
    plain = Plain(data.split("train"), transform)
    for workers in (0, 2):
        data.num_workers = workers
        options = {"batch_size": BATCH_SIZE, "shuffle": True, "drop_last": True, "num_workers": workers}
        ours = pictures_a_second(data.train_dataloader())
        theirs = pictures_a_second(DataLoader(plain, persistent_workers=workers > 0, **options))
        table.add_row(type(data).__name__, str(workers), f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}")


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    table = Table("data set", "workers", "blockyard, pictures/s", "torchvision, pictures/s", "ratio")
    to_tensor = transforms.ToTensor()
    moved = transforms.RandomAffine(
        10, translate=(0.08, 0.08), scale=(0.9, 1.1), interpolation=Image.Resampling.BILINEAR
    )
    digits = transforms.Compose([moved, to_tensor, transforms.Normalize((0.1312,), (0.3085,))])
    compare(Digits(batch_size=BATCH_SIZE), digits, table)
    crop, flip = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
    cifar = transforms.Compose([crop, flip, to_tensor, transforms.Normalize(CIFAR10.mean, CIFAR10.std)])
    with tempfile.TemporaryDirectory() as root:
        compare(write_noise(Path(root)), cifar, table)
    Console().print(table)


if __name__ == "__main__":
    main()
