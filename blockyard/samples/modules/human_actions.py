"""People in motion, filmed from motion capture on first use: no download."""

from __future__ import annotations

import os
from typing import Any, Literal

from blockyard.samples.human_actions import RECORDINGS, write_human_actions
from blockyard.samples.modules.videos import SampleVideos
from blockyard.samples.ucf_layout import sort_classes


class HumanActions(SampleVideos):
    """Real motion-capture recordings, filmed in UCF-101's layout the first time that they are asked for.

    Person, clothes and background belong to the group, so splits by group are splits by person. Filming takes the
    package pybullet and about 0.06 s a video and core.

    Args:
        root: Folder of the data set; made if missing.
        split: Which of the three splits.
        actions: Classes.
        videos_per_class: Videos of each class, of which about a quarter are for testing.
        val_fraction: Share of the training videos held out for validation.
        options: Those of :class:`~blockyard.datamodules.video.base.VideoDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        root: str = "data/human-actions",
        split: Literal[1, 2, 3] = 1,
        actions: int = 8,
        videos_per_class: int = 50,
        val_fraction: float = 0.15,
        **options: Any,
    ) -> None:
        super().__init__(root, split, val_fraction, False, **options)
        self.actions = actions
        self.videos_per_class = videos_per_class

    @property
    def classes(self) -> list[str]:
        """Names of the actions, known without the videos."""
        return sort_classes(list(RECORDINGS)[: self.actions])

    def prepare_data(self) -> None:
        """Film what is not there yet."""
        write_human_actions(
            self.root, classes=self.actions, videos_per_class=self.videos_per_class, workers=min(4, os.cpu_count() or 1)
        )
