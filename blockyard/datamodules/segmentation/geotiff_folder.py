"""Pictures from above: GeoTIFF files of any number of bands, with one mask a picture, in two folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from blockyard.datamodules.base import STAGES
from blockyard.datamodules.images import ImageFiles
from blockyard.datamodules.moments import Moments, moments_of
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.segmentation.listing import Listing
from blockyard.datamodules.segmentation.rasters import Bands, RasterMasks, Rasters
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.media.geotiff import describe
from blockyard.mistakes import DataError, lacking_package
from blockyard.progress import at_work


class GeoTIFFFolder(ImageMaskFolder):
    """Pictures of any number of bands, of 8 to 32 bits, as GeoTIFF; folders, masks and classes as of its base.

    A band's values are as in the file, normalised by its mean and deviation over the training pictures, where it has
    data. Where it has none, by the ``nodata`` value or the mask of the file, or as NaN, an input is 0, the band's mean;
    where no band has data, the label is 255. Masks that are TIFF have the same rule, and must lie where their pictures
    do, if they say where they lie. What ``predict`` makes are GeoTIFF files that lie where the inputs do.

    Batches are those of its base, with C bands in place of 3 colours.

    Args:
        root: Folder of the data.
        bands: Which bands make an input, in their order and counted from 1; None means all that the first training
            picture has, which every picture then must have. A band that files take for their transparency is one like
            any other; where it is not among ``bands``, it says where they have data.
        mean: Mean of each band, in the units of the files; None measures it in the training pictures.
        std: Standard deviation of each band, likewise.
        photometric: Must be false: hue and saturation are of colours.
        options: Those of :class:`ImageMaskFolder`, but ``bits``.

    Raises:
        ValueError: If an option makes no sense, or rasterio is not installed.
    """

    laid_out = ""

    def __init__(
        self,
        root: str,
        bands: list[int] | None = None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        photometric: bool = False,
        **options: Any,
    ) -> None:
        if find_spec("rasterio") is None:
            raise ValueError(f"{type(self).__name__} {lacking_package('rasterio')}")
        super().__init__(root, photometric=photometric, **options)
        if photometric or self.bits is not None:
            raise ValueError("photometric and bits are for pictures in colours; bands are read as they are")
        if bands is not None and not (bands and min(bands) >= 1 and len(set(bands)) == len(bands)):
            raise ValueError(f"bands={bands} must be different numbers from 1")
        if (mean is None) != (std is None) or (std is not None and min(std, default=0) <= 0):
            raise ValueError(f"mean={mean} and std={std}: both or neither, a positive deviation each")
        self.bands = bands
        self._given = None if mean is None or std is None else Moments(np.array(mean), np.array(std))

    @property
    def bands_read(self) -> tuple[int, ...]:
        """The bands that make an input: as asked for, as a checkpoint says, or all of the first training picture.

        Raises:
            DataError: If that is missing or damaged.
        """
        if self.bands is not None:
            return tuple(self.bands)
        if self.known is not None and self.known.channels:
            return tuple(map(int, self.known.channels))
        return tuple(range(1, self._first_count + 1))

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each band, in the units of the files."""
        return tuple(self._moments.mean.tolist())

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each band, in the units of the files."""
        return tuple(self._moments.std.tolist())

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(C, h, w)`` of a training crop."""
        return (len(self.bands_read), *self.size)

    @property
    def padding(self) -> float:
        """What stands beyond the edge of a training crop: what stands for no data."""
        return 0.0

    @property
    def values_are(self) -> str:
        """What the values of an input are, for whoever runs an exported network."""
        numbers = ", ".join(map(str, self.bands_read))
        return f"bands {numbers} of a picture in the units of its file; the network normalises them itself"

    def read_vocabulary(self) -> Vocabulary:
        """Classes, bands, and what these are normalised by."""
        channels = tuple(map(str, self.bands_read))
        return replace(super().read_vocabulary(), channels=channels, mean=self.mean, std=self.std)

    def setup(self, stage: str) -> None:
        """Read what a stage needs, and what its pictures say of themselves.

        Raises:
            DataError: If files are missing, pictures have other bands, or masks leave nothing to learn or to score.
        """
        for split in () if stage == "predict" else STAGES[stage]:
            rasters = self.picture_files(self.list_files(split).images)
            for position in range(len(rasters)):
                rasters.raster(position)
        super().setup(stage)

    def picture_files(self, paths: Sequence[Path]) -> Rasters:
        """Files, normalised as they are read.

        Raises:
            ValueError: If ``mean`` and ``std`` are not a number a band.
        """
        count = len(self.bands_read)
        if any(len(values) != count for values in self._moments):
            raise ValueError(f"mean and std: a number for each of {count} bands is needed")
        return Rasters(paths, self.bands_read, self.bands is None, self._moments)

    def mask_files(self, files: Listing, split: str, pictures: ImageFiles) -> RasterMasks:
        """The masks of a split, which ignore what has no data."""
        assert isinstance(pictures, Rasters)
        return RasterMasks(pictures, files.masks, self.labels_in(split), self.hint, self.colours)

    @property
    def _moments(self) -> Moments:
        if self._given is not None:
            return self._given
        if self.known is not None and self.known.mean:
            return Moments(np.array(self.known.mean), np.array(self.known.std))
        return self._measured

    @cached_property
    def _measured(self) -> Moments:
        paths = self.list_files("train").images
        nothing = Moments(np.zeros(1), np.ones(1))
        rasters = Rasters(paths, self.bands_read, self.bands is None, nothing)
        with at_work("reading what bands are normalised by", len(paths)) as step:
            return moments_of(_blocks(rasters, step))

    @cached_property
    def _first_count(self) -> int:
        return describe(self.list_files("train").images[0]).bands


def _blocks(rasters: Rasters, step: Callable[[], None]) -> Iterator[Bands]:
    """The values of pictures; those that can't be read are told where they are read as pictures."""
    for position in range(len(rasters)):
        with suppress(DataError):
            yield from rasters.blocks(position)
        step()
