"""Small recordings whose every value says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def ramps(samples: int, start: int = 0, channels: int = 3) -> np.ndarray:
    """Sample n of channel c is 1000 c + n: ``(samples, channels)``."""
    return start + np.arange(samples)[:, None] + 1000 * np.arange(channels)


def write_csv(path: Path, values: np.ndarray, names: str = "ax,ay,az") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, values, fmt="%.6g", delimiter=",", header=names, comments="")


@pytest.fixture
def root(tmp_path) -> Path:
    """Two classes; of each, three recordings of 25, 40 and 5 samples to train on and one of 23 for the test."""
    for label, name in enumerate(("run", "walk")):
        for number, samples in enumerate((25, 40, 5, 12)):
            write_csv(tmp_path / "train" / name / f"{number}.csv", ramps(samples, 100 * label))
        write_csv(tmp_path / "test" / name / "0.csv", ramps(23, 100 * label))
    return tmp_path
