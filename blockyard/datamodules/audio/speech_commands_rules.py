"""The two rules of the published Speech Commands tools: which split a speaker is in, and the 12-class task."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SILENCE, UNKNOWN = "_silence_", "_unknown_"
TWELVE = (SILENCE, UNKNOWN, *COMMANDS)
"""Classes of the 12-class task in TensorFlow's order."""
SEED = 59185
"""Of TensorFlow's choice of unknown words."""
SHARE = 0.1
"""Clips of silence and of unknown words for each clip of a command."""

_SPEAKERS = 2**27 - 1


def speaker_split(file_name: str, val_share: float = 0.1, test_share: float = 0.1) -> str:
    """The split that a clip belongs to: a function of its speaker's name alone.

    This is the rule of TensorFlow's tool; the published lists are what it gives with the default shares.

    Args:
        file_name: ``<speaker>_nohash_<number>.wav``, without folders.
        val_share: Share of the speakers in validation.
        test_share: Share of the speakers in the test.

    Returns:
        ``train``, ``val`` or ``test``.
    """
    speaker = re.sub(r"_nohash_.*$", "", file_name)
    number = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (_SPEAKERS + 1)
    percentage = number * (100.0 / _SPEAKERS)
    if percentage < 100 * val_share:
        return "val"
    return "test" if percentage < 100 * (val_share + test_share) else "train"


class Twelve(NamedTuple):
    """The clips of a split in the 12-class task: of commands, of unknown words, and how many of silence."""

    commands: list[str]
    unknown: list[str]
    silence: int


def twelve_classes(splits: Mapping[str, Sequence[str]]) -> dict[str, Twelve]:
    """Choose the clips of the 12-class task as TensorFlow's tool does.

    To the clips of the ten commands a split gets ceil(10 %) clips of silence and ceil(10 %) clips of other words, the
    first ones of a shuffle with seed 59185 that goes through validation, test and training in this order. The tool
    shuffles files as the file system lists them; here they are sorted, so that the choice is the same everywhere.

    Args:
        splits: Names ``word/file.wav`` of the clips in ``train``, ``val`` and ``test``.
    """
    generator = random.Random(SEED)
    chosen = {}
    for split in ("val", "test", "train"):
        names = sorted(splits[split])
        commands = [name for name in names if name.partition("/")[0] in COMMANDS]
        unknown = [name for name in names if name.partition("/")[0] not in COMMANDS]
        generator.shuffle(unknown)
        count = math.ceil(len(commands) * SHARE)
        chosen[split] = Twelve(commands, unknown[:count], count)
    return chosen
