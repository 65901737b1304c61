"""Shared by all tests."""

from __future__ import annotations

import os

# One thread a worker of pytest-xdist, and the same in every process that a test starts: the order of a sum, and so the
# last bit of a weight, depends on it.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Initial weights are random: every test draws the same ones, alone or in the suite."""
    torch.manual_seed(0)


def _write_pictures(root, classes=("cat", "dog"), samples=(4, 2, 2), seed=0):
    """Pictures of 16×16 pixels in ``root/<split>/<class>``."""
    rng = np.random.default_rng(seed)
    for split, count in zip(("train", "val", "test"), samples, strict=True):
        for title in classes:
            folder = root / split / title
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return root


@pytest.fixture
def write_pictures():
    return _write_pictures
