"""Joints in motion, measured on first use: no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blockyard.datamodules.signals.channels import Channels
from blockyard.datamodules.signals.recorded import Recordings
from blockyard.datamodules.signals.signal_csv import SignalCSV
from blockyard.samples.human_actions import RECORDINGS
from blockyard.samples.motions import JOINTS, write_motions


class Motions(SignalCSV):
    """Angles of twelve joints in thirteen real actions, written the first time that they are asked for.

    Made-up people perform the recordings; whoever is in the test is in no other split. Writing takes the package
    pybullet and about 1 ms a recording.

    Args:
        root: Folder of the data set; made if missing.
        subjects: People, 4 to 999.
        takes: Recordings of each action by each person.
        sample_rate: Rate of the windows in Hz; half of the people were recorded at 50, half at 25.
        window: Length of a window in seconds.
        options: Those of :class:`~blockyard.datamodules.signals.signal_csv.SignalCSV`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        root: str = "data/motions",
        subjects: int = 24,
        takes: int = 2,
        sample_rate: float = 25,
        window: float = 2.56,
        **options: Any,
    ) -> None:
        super().__init__(root, sample_rate=sample_rate, window=window, **options)
        self.subjects = subjects
        self.takes = takes

    @property
    def classes(self) -> list[str]:
        """Names of the actions, sorted, known without the recordings."""
        return sorted(RECORDINGS)

    @property
    def layout(self) -> Channels:
        """The joints, or those of them that are asked for, known without the recordings."""
        return super().layout if self.channels or self.known else Channels(tuple(JOINTS), "first")

    def prepare_data(self) -> None:
        """Write what is not there yet."""
        write_motions(Path(self.root), self.subjects, self.takes)

    def recordings(self, split: str) -> Recordings:
        """The rows of a split, written if they are not there."""
        self.prepare_data()
        return super().recordings(split)
