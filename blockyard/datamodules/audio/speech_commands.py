"""Speech Commands v2 in its published layout."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from blockyard.datamodules.audio.base import AudioDataModule
from blockyard.datamodules.audio.listing import Recordings, Span, find_audio, find_tree
from blockyard.datamodules.audio.speech_commands_rules import SEED, SILENCE, TWELVE, UNKNOWN, Twelve, twelve_classes
from blockyard.datamodules.folders import LeftOut, names_in
from blockyard.datamodules.published import check_counts
from blockyard.media.sound_files import Sound
from blockyard.mistakes import DataError
from blockyard.publishers.sets import command, how_to_get

TEST = "speech_commands_test"
FOLDERS = ("speech_commands_v0.02", "SpeechCommands/speech_commands_v0.02")
LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"
CLIP = re.compile(r"[0-9a-f]{8}_nohash_\d+\.wav")


class SpeechCommands(AudioDataModule):
    """Speech Commands v2: 105,829 clips of one second at 16 kHz, 35 words by some 2,600 speakers.

    Read from ``<word>/<speaker>_nohash_<n>.wav``, ``validation_list.txt``, ``testing_list.txt`` and
    ``_background_noise_``. A clip that neither list names is for training; no speaker is in two splits.

    With 35 classes these are all words, sorted. With 12 they are silence, unknown, yes, no, up, down, left, right, on,
    off, stop and go, by the rule of TensorFlow's tool (see
    :func:`~blockyard.datamodules.audio.speech_commands_rules.twelve_classes`). A clip of silence is a second of
    background noise at a volume from 0 to 1 that belongs to the clip; in training another each epoch. Results compare
    with published ones on the fixed test archive only, given by ``test_archive``; without it the test clips of silence
    and unknown words are chosen by the rule, and a warning says so. TensorFlow Datasets trains its 12 classes on *all*
    other words: that is another task.

    ``predict`` without ``predict_path`` is the test split without its labels; the noise that ``snr`` mixes in is the
    data set's unless ``noise`` names other.

    Args:
        root: The folder with the lists, or one with ``speech_commands_v0.02`` or ``SpeechCommands`` in it.
        classes: 35 words, or 12 classes.
        test_archive: Folder of the unpacked test archive of the 12-class task, 4,890 clips.
        verify: Whether everything must have the published counts. False reads other data in the same layout.
        options: Those of :class:`~blockyard.datamodules.audio.base.AudioDataModule`.

    Raises:
        ValueError: If there is no such task, or a number is out of range.
    """

    published_rate = 16_000
    published_classes: ClassVar[int] = 35
    published: ClassVar[dict[str, int]] = {"words": 35, "clips": 105_829}
    listed: ClassVar[dict[str, int]] = {"train": 84_843, "val": 9_981, "test": 11_005}

    def __init__(
        self,
        root: str = "data",
        classes: Literal[35, 12] = 35,
        test_archive: str | None = None,
        verify: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if classes not in (35, 12):
            raise ValueError(f"SpeechCommands: classes={classes} must be 35 or 12")
        if test_archive and classes != 12:
            raise ValueError(f"SpeechCommands: test_archive={test_archive} is the test of classes=12")
        self.root = Path(root)
        self.twelve = classes == 12
        self.test_archive = Path(test_archive) if test_archive else None
        self.verify = verify

    @cached_property
    def folder(self) -> Path:
        """The folder with the lists in it."""
        return find_tree(self.root, LISTS["test"], FOLDERS, how_to_get("speech_commands", self.root))

    @cached_property
    def words(self) -> list[str]:
        """The words, sorted."""
        found = (path.name for path in self.folder.iterdir() if path.is_dir())
        return sorted(name for name in found if not name.startswith(("_", ".")))

    @property
    def classes(self) -> list[str]:
        """The words, sorted; or the 12 classes in TensorFlow's order."""
        return list(TWELVE) if self.twelve else self.words

    def noise_files(self) -> Sequence[Path]:
        """The recordings of background noise."""
        return find_audio(self.folder / NOISE).paths

    def recordings(self, split: str) -> Recordings:
        """The clips of a split, in the order of their list; those for training sorted."""
        part = "test" if split == "predict" else split
        if not self.twelve:
            return self._labelled(self._names[part])
        if part == "test" and self.test_archive:
            return self._fixed_test(self.test_archive)
        if part == "test":
            warnings.warn(
                f"12-class test without test_archive: silence and unknown words chosen by TensorFlow's rule; published "
                f"results are on that of: {command(TEST, self.root)}",
                stacklevel=2,
            )
        return self._twelve(part, twelve_classes(self._names)[part])

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Names ``word/file.wav`` of the clips of each split."""
        left = LeftOut()
        clips = {
            f"{word}/{name}"
            for word in self.words
            for name in names_in(self.folder / word, lambda name: CLIP.fullmatch(name) is not None, left)
        }
        left.tell(self.folder, "clip")
        names = {part: self._read_list(file, clips) for part, file in LISTS.items()}
        names["train"] = sorted(clips.difference(*names.values()))
        self._check(clips, names)
        return names

    def _read_list(self, file: str, clips: set[str]) -> list[str]:
        path = self.folder / file
        if not path.is_file():
            raise DataError(f"{path} is missing: {how_to_get('speech_commands', self.root)}")
        names = path.read_text(encoding="utf-8").split()
        for name in names:
            word, _, clip = name.partition("/")
            if word not in self.words or not CLIP.fullmatch(clip):
                raise DataError(f"{path}: {name} is not <word>/<speaker>_nohash_<n>.wav of one of the words")
        if missing := [name for name in names if name not in clips]:
            message = f"{path}: {len(missing)} of {len(names)} clips are missing, the first is {missing[0]}"
            if self.verify:
                raise DataError(message)
            warnings.warn(f"{message}: they can't be read", stacklevel=2)
        return names

    def _check(self, clips: set[str], names: dict[str, list[str]]) -> None:
        """The whole must be what was published; that the lists add up to it is expected, not documented."""
        check_counts(self.folder, {"words": len(self.words), "clips": len(clips)}, self.published, self.verify)
        if self.verify:
            check_counts(self.folder, {part: len(rows) for part, rows in names.items()}, self.listed, False)

    def _labelled(self, names: Sequence[str]) -> Recordings:
        labels = {word: label for label, word in enumerate(self.classes)}
        targets = np.array([labels[name.partition("/")[0]] for name in names], dtype=np.int64)
        return Recordings([self.folder / name for name in names], names, targets)

    def _twelve(self, part: str, chosen: Twelve) -> Recordings:
        commands = self._labelled(chosen.commands)
        noise = find_audio(self.folder / NOISE)
        seconds = []
        for path in noise.paths:
            with Sound(path, self.sample_rate) as sound:
                seconds.append(sound.samples / self.sample_rate)
        rng = np.random.default_rng([SEED, ("train", "val", "test").index(part)])
        files = rng.integers(len(seconds), size=chosen.silence)
        spare = np.maximum(0, np.array(seconds)[files] - self.length / self.sample_rate)
        starts = (rng.random(chosen.silence) * spare).tolist()
        fixed: list[Span] = [(start, start + self.length / self.sample_rate) for start in starts]
        whole: list[Span] = [(0.0, None)]
        silent = [f"{SILENCE}/{noise.names[file]} {start:.3f}" for file, start in zip(files, starts, strict=True)]
        clips = len(chosen.commands) + len(chosen.unknown)
        return Recordings(
            [*commands.paths, *(self.folder / name for name in chosen.unknown), *(noise.paths[file] for file in files)],
            [*commands.names, *chosen.unknown, *silent],
            np.concatenate([commands.targets, np.repeat([1, 0], [len(chosen.unknown), chosen.silence])]),
            whole * clips + (whole * chosen.silence if part == "train" else fixed),
            np.concatenate([np.ones(clips), rng.random(chosen.silence)]).astype(np.float32),
        )

    def _fixed_test(self, folder: Path) -> Recordings:
        """The test archive; some of its names end in ``.wav.wav``."""
        missing = [name for name in TWELVE if not (folder / name).is_dir()]
        if missing:
            raise DataError(f"{folder / missing[0]} is missing: {how_to_get(TEST, folder.parent)}")
        found = [find_audio(folder / name) for name in TWELVE]
        counts = {name: len(part.paths) for name, part in zip(TWELVE, found, strict=True)}
        published = {"clips": 4_890, SILENCE: 408, UNKNOWN: 408}
        check_counts(folder, counts | {"clips": sum(counts.values())}, published, self.verify)
        names = [f"{name}/{clip}" for name, part in zip(TWELVE, found, strict=True) for clip in part.names]
        targets = np.repeat(np.arange(len(TWELVE)), list(counts.values()))
        return Recordings([path for part in found for path in part.paths], names, targets)
