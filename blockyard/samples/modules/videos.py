"""What data modules of sample videos share: UCF-101's layout, written on first use."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from blockyard.datamodules.video.ucf101 import UCF101


class SampleVideos(UCF101):
    """Videos in UCF-101's layout, which a subclass writes where they are not there yet."""

    @abstractmethod
    def prepare_data(self) -> None:
        """Write what is not there yet."""

    def folder(self, name: str) -> Path:
        """A folder, written if it is not there."""
        self.prepare_data()
        return super().folder(name)

    def _check_count(self, file: Path, part: str, count: int) -> None:
        """The published counts are not those of this data set."""
