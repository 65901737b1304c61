"""Tiny sound data sets that need no package, in three published layouts and with their oddities, for tests."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.audio.speech_commands_rules import COMMANDS, SILENCE, TWELVE, UNKNOWN
from blockyard.datamodules.audio.urbansound8k import CLASSES
from blockyard.mistakes import nearest
from blockyard.samples.new_folder import new_folder
from blockyard.samples.speech_layout import NOISE, RATE, speaker_name, write_lists, write_wav

WORDS = (*COMMANDS, "bed", "cat")
"""The ten commands and two others."""
ESC_CLASSES = {0: "dog", 1: "rooster", 2: "pig", 3: "cow"}
"""The first two are in ESC-10."""


def write_tiny_audio(root: str | Path, layout: str = "speech_commands", seed: int = 0) -> Path:
    """Write tones in noise, a chord for each class, in the layout of a published data set.

    Args:
        root: Folder to write into; new or empty, but for a tree that was written before.
        layout: ``speech_commands``, ``esc50`` or ``urbansound8k``.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If there is no such layout.
        DataError: If ``root`` holds something else.
    """
    writers: dict[str, Callable[[Path, int], None]] = {
        "speech_commands": write_tiny_speech_commands,
        "esc50": write_tiny_esc50,
        "urbansound8k": write_tiny_urbansound8k,
    }
    if layout not in writers:
        raise ValueError(f"no layout {layout}; {nearest(layout, writers)}")
    with new_folder(Path(root), {"generator": "tiny_audio", "layout": layout, "seed": seed}) as folder:
        if folder is not None:
            writers[layout](folder, seed)
    return Path(root)


def write_tiny_speech_commands(root: Path, seed: int, speakers: int = 20) -> None:
    """Twelve words by 20 speakers, noise, one clip in ten shorter than a second; and the test archive.

    The archive has a clip or two of each of the 12 classes, one of them called ``*.wav.wav``.
    """
    random = np.random.default_rng([seed, 0])
    folder, archive = root / "speech_commands_v0.02", root / "speech_commands_test_set_v0.02"
    for label, word in enumerate(WORDS):
        for number in range(speakers):
            seconds = 0.6 if number % 10 == 9 else 1.0
            path = folder / word / f"{speaker_name(number, seed)}_nohash_0.wav"
            write_wav(path, chord(label, random, seconds))
    for name in ("pink_noise", "running_tap"):
        write_wav(folder / NOISE / f"{name}.wav", 0.1 * random.standard_normal(3 * RATE))
    (folder / NOISE / "README.md").write_text("Not a sound.\n")
    write_lists(folder)
    labels = dict(zip(WORDS, range(len(WORDS)), strict=True)) | {UNKNOWN: WORDS.index("bed")}
    for name in TWELVE:
        sound = np.zeros(RATE) if name == SILENCE else chord(labels[name], random)
        write_wav(archive / name / f"{speaker_name(1, seed)}_nohash_0.wav", sound)
    write_wav(archive / "yes" / f"{speaker_name(11, seed)}_nohash_1.wav.wav", chord(labels["yes"], random))


def write_tiny_esc50(folder: Path, seed: int) -> None:
    """Four classes with two sources of two fragments in each of five folds; ``esc10`` is True or False, as text."""
    random = np.random.default_rng([seed, 1])
    rows: list[list[object]] = []
    for fold in range(1, 6):
        for target, title in ESC_CLASSES.items():
            for source in range(2):
                for take in "AB":
                    clip = 1000 * fold + 10 * target + source
                    name = f"{fold}-{clip}-{take}-{target}.wav"
                    write_wav(folder / "ESC-50-master/audio" / name, chord(target, random, 0.5, 44_100), 44_100)
                    rows.append([name, fold, target, title, target < 2, clip, take])
    header = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    _write_csv(folder / "ESC-50-master/meta/esc50.csv", header, rows)


def write_tiny_urbansound8k(folder: Path, seed: int) -> None:
    """Ten classes in ten folds, by turns stereo at 48 kHz and mono at 22.05 kHz; 77751 is in folds 2 and 7."""
    random = np.random.default_rng([seed, 2])
    rows: list[list[object]] = []
    for fold in range(1, 11):
        for target, title in enumerate(CLASSES):
            source = 77751 if target == 4 and fold in (2, 7) else 100_000 + 100 * fold + target
            name = f"{source}-{target}-0-{fold}.wav"
            rate = (48_000, 22_050)[(fold + target) % 2]
            sound = chord(target, random, random.uniform(0.05, 0.6), rate)
            stereo = np.stack([sound, 0.5 * sound], axis=1)
            write_wav(folder / f"UrbanSound8K/audio/fold{fold}" / name, stereo if rate == 48_000 else sound, rate)
            rows.append([name, source, 0.0, len(sound) / rate, 1 + fold % 2, fold, target, title])
    header = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    _write_csv(folder / "UrbanSound8K/metadata/UrbanSound8K.csv", header, rows)


def chord(label: int, random: np.random.Generator, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.float64]:
    """Two tones that belong to a class, from 300 Hz up, with a little noise, ``(n,)``."""
    times = np.arange(round(seconds * rate)) / rate
    tones = sum(
        np.sin(2 * np.pi * (low + 250 * label) * times + random.uniform(0, 2 * np.pi)) for low in (300.0, 1100.0)
    )
    return np.asarray(random.uniform(0.1, 0.3) * tones + 0.02 * random.standard_normal(len(times)))


def _write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
