"""Parts of real photographs with noise, cut when first asked for: no download."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blockyard.datamodules.base import DataModule
from blockyard.datamodules.fingerprints import Column
from blockyard.datamodules.images import PICTURES, ImageFiles, Pixels
from blockyard.datamodules.loading import Split
from blockyard.mistakes import DataError
from blockyard.samples.photographs import read_photographs

Tile = tuple[str, Pixels]
HELD_OUT = 128
"""Columns of the palace's photograph, at its right, that are for validation."""


class NoisyPhotographs(DataModule):
    """Three photographs that ship in packages, with Gaussian noise drawn for every sample: a small set to try things.

    Trained on parts of a palace and of a lawn, cut at random, turned and mirrored; validated on the right of the
    palace, and tested on a flower, of which nothing is trained on: square parts side by side, each with noise of its
    own that is the same in every run. Takes the packages scikit-learn and pybullet.

    Args:
        size: Height and width of a part, a multiple of 8 from 16 to 128.
        sigma: Standard deviation of the noise, on the scale from 0 to 255.
        samples: Parts cut for an epoch of training.
        predict_folder: A picture for ``predict``, a folder with some at any depth, or several of either, restored as
            they are; None means the test split with its noise.
        batch_size: Global batch size.
        num_workers: Worker processes a process; the photographs are in memory.
        options: Those of :class:`~blockyard.datamodules.DataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    samples_are: ClassVar[str] = "noisy and clean pictures"
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(
        self,
        size: int = 64,
        sigma: float = 25.0,
        samples: int = 1600,
        predict_folder: str | list[str] | None = None,
        batch_size: int = 16,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, num_workers, **options)
        if size % 8 or not 16 <= size <= 128:
            raise ValueError(f"NoisyPhotographs: size={size} must be a multiple of 8 from 16 to 128")
        if not 0 < sigma <= 255 or samples < 1:
            raise ValueError(f"NoisyPhotographs: sigma={sigma} must be 0 to 255, and samples={samples} positive")
        self.size, self.sigma, self.samples = size, sigma, samples
        self.predict_folder = predict_folder

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, size, size)``."""
        return (3, self.size, self.size)

    def load(self, split: str) -> Split:
        """Cut a split out of the photographs.

        Raises:
            DataError: If a package is not installed, or a picture to restore is missing.
        """
        if split == "predict" and self.predict_folder:
            found = PICTURES.find_new(self.predict_folder)
            return Pictures(found.names, ImageFiles(found.paths))
        palace, flower, lawn = read_photographs()
        if split == "train":
            sources = {"palace": palace[:, :-HELD_OUT], "lawn": lawn}
            return Cuts(sources, self.samples, self.size, self.sigma)
        held_out = {"val": ("palace", palace[:, -HELD_OUT:])}.get(split, ("flower", flower))
        tiles = list(_tiles(*held_out, self.size))
        kind = NoisyPictures if split == "predict" else NoisyTiles
        return kind([name for name, _ in tiles], [tile for _, tile in tiles], self.sigma)


class Cuts(Split):
    """Parts of photographs, cut at random, turned and mirrored, with noise.

    Args:
        sources: Photographs, uint8 ``(H, W, 3)``, by name; each gives as many parts, one after the other.
        samples: Parts.
        size: Height and width of a part.
        sigma: Standard deviation of the noise, on the scale from 0 to 255.
    """

    def __init__(self, sources: dict[str, Pixels], samples: int, size: int, sigma: float) -> None:
        titles = list(sources)
        self.sources = list(sources.values())
        self.names = [f"{titles[i % len(titles)]} {i}" for i in range(samples)]
        self.sigma = sigma
        self.transform = A.Compose([A.RandomCrop(size, size), A.SquareSymmetry(p=1)])

    def __len__(self) -> int:
        return len(self.names)

    def described(self) -> Iterator[Column]:
        """The photographs' pixels and the noise."""
        yield from self.sources
        yield [f"sigma {self.sigma}"]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input`` and ``target``, float32 ``(3, h, w)``."""
        assert self.transform is not None
        clean = _floats(self.transform(image=self.sources[index % len(self.sources)])["image"])
        return {"input": clean + torch.randn(clean.shape) * (self.sigma / 255), "target": clean}


class NoisyTiles(Split):
    """Parts of photographs side by side, each with noise that depends on its position alone.

    Args:
        names: One a part.
        tiles: The parts, uint8 ``(h, w, 3)``.
        sigma: Standard deviation of the noise, on the scale from 0 to 255.
    """

    def __init__(self, names: Sequence[str], tiles: Sequence[Pixels], sigma: float) -> None:
        self.names, self.tiles, self.sigma = names, tiles, sigma

    def __len__(self) -> int:
        return len(self.names)

    def described(self) -> Iterator[Column]:
        """The parts' pixels and the noise."""
        yield from self.tiles
        yield [f"sigma {self.sigma}"]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input`` and ``target``, float32 ``(3, h, w)``."""
        clean = _floats(self.tiles[index])
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(index))
        return {"input": clean + noise * (self.sigma / 255), "target": clean}


class Listed(Split):
    """What is given to ``predict``: pictures that may differ in size."""

    def collate(self, samples: list[dict[str, Any]]) -> Any:
        """``input``, a list, ``index`` ``(B,)`` and whether each is ``valid`` ``(B,)``."""
        index, valid = ([sample[name] for sample in samples] for name in ("index", "valid"))
        return {
            "input": [sample["input"] for sample in samples],
            "index": torch.tensor(index),
            "valid": torch.tensor(valid),
        }


class NoisyPictures(Listed, NoisyTiles):
    """Noisy parts without the truth."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, float32 ``(3, h, w)``."""
        return {"input": super().__getitem__(index)["input"], "valid": True}


class Pictures(Listed):
    """Pictures of any size, for ``predict``, as they are; one that can't be read is not ``valid``.

    Args:
        names: One a picture.
        images: The pictures, uint8 ``(H, W, 3)``; read when asked for.
    """

    def __init__(self, names: Sequence[str], images: ImageFiles) -> None:
        self.names, self.images = names, images

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, float32 ``(3, H, W)``, and whether it is ``valid``."""
        try:
            return {"input": _floats(self.images[index]), "valid": True}
        except DataError:
            return {"input": torch.zeros(3, 1, 1), "valid": False}

    def problem(self, position: int) -> str | None:
        """Why a picture can't be read, in one line; None if it can."""
        try:
            self.images[position]
        except DataError as error:
            return " ".join(str(error).split())
        return None


def _tiles(title: str, photograph: Pixels, size: int) -> Iterator[Tile]:
    for top in range(0, photograph.shape[0] - size + 1, size):
        for left in range(0, photograph.shape[1] - size + 1, size):
            yield f"{title} {top} {left}", photograph[top : top + size, left : left + size]


def _floats(pixels: Pixels | NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.array(pixels)).movedim(-1, 0).float() / 255
