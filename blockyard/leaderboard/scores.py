"""The scores of every test sample of a run, beside its record."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from blockyard.leaderboard import atomic

Scores = Mapping[str, np.ndarray]


def write_scores(scores: Scores, directory: Path, run: str) -> tuple[str, str]:
    """Write ``<run>-<start of its digest>.npz``: equal scores give the same file, other scores never replace it.

    Args:
        scores: Metric to one number a test sample, ``(n,)``, in the order of the split.
        directory: The folder of the record.
        run: The run's hash.

    Returns:
        Name and SHA-256 of the file.

    Raises:
        ValueError: If an array is not a vector of numbers, or their lengths differ.
    """
    for name, values in scores.items():
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise ValueError(f"scores of {name}: a vector of numbers is needed, got {values.dtype} {values.shape}")
    if len({len(values) for values in scores.values()}) > 1:
        raise ValueError(f"scores differ in length: { {name: len(values) for name, values in scores.items()} }")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **scores)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = directory / f"{run}-{digest[:8]}.npz"
    atomic.write(path, buffer.getvalue())
    return path.name, digest


def read_scores(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """Read what :func:`write_scores` wrote; nothing in the file is executed.

    Raises:
        ValueError: If the file is missing, damaged, or not the one that the record names.
    """
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("its digest is not the one in the record")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: no scores: {error}") from None
