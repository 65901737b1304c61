"""Ten spoken words by synthetic voices, made on first use: no download."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from blockyard.datamodules.audio.speech_commands import SpeechCommands
from blockyard.datamodules.audio.speech_commands_rules import COMMANDS
from blockyard.samples.spoken_commands import VOICES, write_spoken_commands


class SpokenCommands(SpeechCommands):
    """Synthetic voices saying ten commands, written in Speech Commands' layout the first time that they are asked for.

    Voices held out for validation and test are heard in no other split. Writing takes the package espeakng-loader and
    about 2 ms a clip.

    Args:
        root: Folder of the data set; made if missing.
        voices: Speakers, 10 to 104, of which one in ten is for validation and one for the test.
        takes: Clips of each word by each speaker.
        options: Those of :class:`~blockyard.datamodules.audio.base.AudioDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self, root: str = "data/spoken-commands", voices: int = VOICES, takes: int = 3, **options: Any
    ) -> None:
        super().__init__(root, 35, None, False, **options)
        self.voices = voices
        self.takes = takes

    @property
    def classes(self) -> list[str]:
        """The words, sorted, known without the clips."""
        return sorted(COMMANDS)

    @cached_property
    def folder(self) -> Path:
        """The folder with the lists in it, written if it is not there yet."""
        self.prepare_data()
        return self.root

    def prepare_data(self) -> None:
        """Write what is not there yet."""
        write_spoken_commands(self.root, self.voices, self.takes)

    def _check(self, clips: set[str], names: dict[str, list[str]]) -> None:
        """The published counts are not those of this data set."""
