"""What all data sets of picture files leave to their users."""

from __future__ import annotations

from typing import Any

from blockyard.datamodules.base import DataModule
from blockyard.datamodules.images import IMAGENET_MEAN, IMAGENET_STD
from blockyard.media.picture_files import check_bits


class PictureOptions(DataModule):
    """How the values in picture files become those of inputs; a mixin of data modules.

    Args:
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
        bits: How many bits the values of pictures of more than 8 bits have, such as 12 of a camera's in files of 16;
            None means as many as the file has, and refuses files that use far fewer.
        options: Those of the data module that it is mixed into.

    Raises:
        ValueError: If there can't be so many bits.
    """

    def __init__(
        self,
        *,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        bits: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_bits(bits)
        self._mean, self._std, self.bits = mean, std, bits

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, in units of the full range."""
        return self._mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, in units of the full range."""
        return self._std
