"""Test sets that a trained network is tried on besides its own: CIFAR-10-C, CIFAR-100-C and CIFAR-10.1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.published import check_counts
from blockyard.mistakes import DataError, nearest
from blockyard.publishers.sets import how_to_get

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    *("speckle_noise", "gaussian_blur", "spatter", "saturate"),
)
"""Of Hendrycks and Dietterich, ICLR 2019; the last four are not among those that results are averaged over."""
SEVERITIES = range(1, 6)
VERSIONS = {"v4": 2021, "v6": 2000}
"""Pictures in the two versions of CIFAR-10.1 (Recht et al., ICML 2019); the authors advise v6, which is balanced."""
NEW_FOLDERS = ("CIFAR-10.1/datasets", "CIFAR-10.1", ".")


def check_corruption(corruption: str | None, severity: int | None) -> None:
    """Refuse what there is not.

    Raises:
        ValueError: If there is no such corruption or severity, or a severity of nothing.
    """
    if corruption is not None and corruption not in CORRUPTIONS:
        raise ValueError(f"no corruption {corruption}; {nearest(corruption, CORRUPTIONS)}")
    if severity is not None and (corruption is None or severity not in SEVERITIES):
        raise ValueError(f"severity={severity} must be 1 to 5, of a corruption")


def read_corrupted(
    folder: Path, corruption: str, severity: int | None, classes: int, verify: bool
) -> tuple[Pixels, Labels, list[str]]:
    """Read one file of CIFAR-10-C or CIFAR-100-C: the test pictures five times over, by severity.

    Args:
        folder: With ``<corruption>.npy`` and ``labels.npy``.
        corruption: What to read.
        severity: From 1 to 5; None reads all.
        classes: Number of classes.
        verify: Whether there must be 10,000 pictures of each severity.

    Returns:
        Pictures ``(n, 32, 32, 3)``, labels ``(n,)`` and names.

    Raises:
        DataError: If a file is missing or damaged, or of other counts.
    """
    hint = how_to_get(f"cifar{classes}_c", folder.parent)
    pixels, labels = _read_pair(folder / f"{corruption}.npy", folder / "labels.npy", classes, hint)
    count, rest = divmod(len(labels), len(SEVERITIES))
    if rest:
        raise DataError(f"{folder / 'labels.npy'}: {len(labels)} labels can't be of five severities: {hint}")
    check_counts(folder / f"{corruption}.npy", {"pictures a severity": count}, {"pictures a severity": 10_000}, verify)
    rows = slice(None) if severity is None else slice((severity - 1) * count, severity * count)
    names = [f"{corruption}/{number // count + 1}/{number % count:05d}" for number in range(len(labels))]
    return np.array(pixels[rows]), labels[rows], names[rows]


def read_new_test_set(root: Path, version: str, verify: bool) -> tuple[Pixels, Labels, list[str]]:
    """Read a version of CIFAR-10.1.

    Args:
        root: With ``cifar10.1_<version>_data.npy`` in it, or in ``CIFAR-10.1`` or ``CIFAR-10.1/datasets`` below it.
        version: ``v4`` or ``v6``.
        verify: Whether there must be as many pictures as published.

    Returns:
        Pictures ``(n, 32, 32, 3)``, labels ``(n,)`` and names.

    Raises:
        DataError: If a file is missing or damaged, or of another count.
    """
    stem = f"cifar10.1_{version}"
    places = [root / folder for folder in NEW_FOLDERS]
    folder = next((place for place in places if (place / f"{stem}_data.npy").is_file()), places[0])
    hint = how_to_get("cifar10_1", root)
    pixels, labels = _read_pair(folder / f"{stem}_data.npy", folder / f"{stem}_labels.npy", 10, hint)
    published: Mapping[str, int] = {"pictures": VERSIONS[version]}
    check_counts(folder / f"{stem}_data.npy", {"pictures": len(labels)}, published, verify)
    return np.array(pixels), labels, [f"{version}/{number:04d}" for number in range(len(labels))]


def _read_pair(data: Path, answers: Path, classes: int, hint: str) -> tuple[Pixels, Labels]:
    pixels, labels = (_read_array(path, hint) for path in (data, answers))
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (32, 32, 3):
        raise DataError(f"{data}: uint8 (n, 32, 32, 3) expected, got {pixels.dtype} {pixels.shape}: {hint}")
    if labels.dtype.kind not in "iu" or labels.shape != pixels.shape[:1]:
        raise DataError(f"{answers}: {len(pixels)} whole numbers expected, got {labels.dtype} {labels.shape}: {hint}")
    if len(labels) == 0 or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"{answers}: a label is not one of 0 to {classes - 1}: {hint}")
    return pixels.view(np.uint8), labels.astype(np.int64)


def _read_array(path: Path, hint: str) -> NDArray[np.generic]:
    if not path.is_file():
        raise DataError(f"{path} is missing: {hint}")
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is damaged ({' '.join(str(error).split())}): {hint}") from error
