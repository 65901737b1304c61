"""Shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

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


MARKER = "marker_of_foreign_code"
"""Name of a module that leaves traces if anything imports or calls it."""


@pytest.fixture
def traces(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the importable module :data:`MARKER` leaves a file if it is imported or anything in it called.

    It has a function, a class and a registry, as mmengine looks for one. At the end of the test the folder is empty.
    """
    home = tmp_path_factory.mktemp("foreign")
    place = home / "traces"
    place.mkdir()
    leave = f"import pathlib\nplace = pathlib.Path({str(place)!r})\n"
    called = "def call(*_, **__):\n    (place / 'called').touch()\nclass Thing:\n    __init__ = call\n"
    package = home / MARKER
    package.mkdir()
    (package / "__init__.py").write_text(f"{leave}(place / 'imported').touch()\n{called}")
    (package / "registry.py").write_text(f"{leave}(place / 'registry').touch()\n")
    monkeypatch.syspath_prepend(str(home))
    yield place
    left = sorted(path.name for path in place.iterdir())
    for name in [name for name in sys.modules if name.split(".")[0] == MARKER]:
        del sys.modules[name]
    assert left == []
