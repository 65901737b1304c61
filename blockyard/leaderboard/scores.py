"""The scores of every test sample of a run, beside its record."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from blockyard import files
from blockyard.metrics import Metric, metric_named
from blockyard.mistakes import printable

Scores = Mapping[str, np.ndarray]

LARGEST = 256 * files.MIB
"""Bytes that a file of scores may have, and that its arrays may have together."""
ROUNDING = 1e-6
"""A mean of float32 ones may be that much more than 1, and any mean that share beyond its bounds."""
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


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
    path = directory / scores_name(run, digest)
    files.write(path, buffer.getvalue())
    return path.name, digest


def scores_name(run: str, sha256: str) -> str:
    """Name of the file with the scores of a run."""
    return f"{run}-{sha256[:8]}.npz"


def read_scores(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """Read what :func:`write_scores` wrote; nothing in the file is executed.

    Raises:
        ValueError: If the file is missing, damaged, larger than :data:`LARGEST`, or not the one that the record names.
    """
    try:
        return arrays(files.read_bounded(path, LARGEST), sha256)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no scores: {error}") from None


def arrays(content: bytes, sha256: str) -> dict[str, np.ndarray]:
    """The arrays in a file of scores; sizes are checked before anything is unpacked.

    Raises:
        ValueError: As :func:`read_scores`.
    """
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("its digest is not the one in the record")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _unpacked(archive)
    except Exception as error:  # zipfile, zlib and NumPy raise many types for a file that was made to hurt
        raise ValueError(printable(str(error))) from None


def impossible(scores: Scores, samples: int, metric: Callable[[str], Metric] = metric_named) -> str | None:
    """What is wrong with the values of scores, if anything.

    Args:
        scores: Metric to one number a test sample, ``(n,)``.
        samples: How many there should be.
        metric: What the numbers under a name mean.
    """
    for name, values in scores.items():
        if len(values) != samples:
            return f"{name!r} has {len(values)} values; the record says {samples} test samples"
        if values.dtype.kind == "f" and np.isnan(values).any():
            return f"{name!r} holds nan"
        meant = metric(name)
        low, high = map(np.float64, meant.ends)  # of this type: half precision knows no number as large
        outside = values[(values < low - ROUNDING * abs(low)) | (values > high + ROUNDING * abs(high))]
        if len(outside):
            allowed = "are fractions from 0 to 1" if meant.is_fraction else f"is {meant.allowed}"
            return f"{name!r} holds {outside[0]}; allowed {allowed}"
    return None


def _unpacked(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    members = archive.infolist()
    if sum(member.file_size for member in members) > LARGEST:
        raise ValueError(f"its arrays are larger than {LARGEST / files.MIB:g} MiB")
    if not members or len({member.filename for member in members}) < len(members):
        raise ValueError("its arrays need names of their own")
    return {member.filename.removesuffix(".npy"): _vector(archive, member) for member in members}


def _vector(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        read_header = _READERS.get(npy.read_magic(file))
        if read_header is None:
            raise ValueError(f"{member.filename} has an unknown version of NumPy's format")
        shape, _, dtype = read_header(file)
        # A header may promise more than the file holds: NumPy would reserve memory for all of it.
        if len(shape) != 1 or dtype.kind not in "biuf" or shape[0] * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} is no vector of numbers: {dtype} {shape}")
        return np.frombuffer(file.read(), dtype, shape[0])
