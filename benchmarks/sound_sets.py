"""Small sets of notes, letters and phrases, which packages ship as recordings: what few_samples.py trains on."""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path

from small_sets import Written, save_sounds

Found = dict[str, list[tuple[Path, int]]]
"""Sounds and their labels, by part."""
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
"""Above C."""
LETTERS = "BDFKLMNPST"
"""Consonants, which languages call alike."""
VOICES = ("British", "Default", "HillBilly", "Mobster", "Pirate", "Robot", "Russian", "Singer", "Surfer")
"""Of Hedgewars, in English; its `Classic` shares recordings with `Default`."""


def notes(material: Path, root: Path) -> Written:
    """Which of nine instruments of an orchestra plays a note, each by itself; every third of its notes is tested on."""
    found: Found = {"train": [], "test": []}
    names = []
    with tempfile.TemporaryDirectory() as folder:
        for label, package in enumerate(sorted(material.glob("tonejs-instrument-*-mp3-*.tgz"))):
            names.append(package.name.removeprefix("tonejs-instrument-").partition("-mp3-")[0])
            with tarfile.open(package) as archive:
                archive.extractall(Path(folder) / names[-1], filter="data")
            files = sorted((Path(folder) / names[-1]).rglob("*.mp3"))
            pitches = sorted({_pitch(path) for path in files})
            for path in files:  # by the pitch: a second recording of a note stays in the part of the first
                part = "test" if pitches.index(_pitch(path)) % 3 == 1 else "train"
                found[part].append((path, label))
        return save_sounds(root, "train", found["train"], names), save_sounds(root, "test", found["test"], names)


def _pitch(path: Path) -> int:
    """In semitones, of a file such as ``As4.mp3``, A sharp."""
    found = re.match(r"([A-G])(s?)(\d)", path.name)
    assert found, path
    return 12 * int(found[3]) + SEMITONES[found[1]] + len(found[2])


def letters(material: Path, root: Path) -> Written:
    """Which of ten consonants is named, each once in a language; every third of 14 languages is tested on."""
    found: Found = {"train": [], "test": []}
    languages = [_named(path) for path in sorted(material.rglob("klettres/*/sounds.xml"))]
    spoken = [files for files in languages if all(letter in files for letter in LETTERS)]
    for number, files in enumerate(spoken):
        for label, letter in enumerate(LETTERS):
            found["test" if number % 3 == 0 else "train"].append((files[letter], label))
    return save_sounds(root, "train", found["train"], LETTERS), save_sounds(root, "test", found["test"], LETTERS)


def _named(path: Path) -> dict[str, Path]:
    """The letters of a language that lie beside its list, which may name others, without its syllables."""
    alphabet = path.read_text(encoding="utf-8").partition("<syllables>")[0]
    files = {
        name: path.parents[1] / file for name, file in re.findall(r'<sound\s+name="(.+?)"\s+file="(.+?)"', alphabet)
    }
    return {name: file for name, file in files.items() if path.parent in file.parents and file.is_file()}


def speakers(material: Path, root: Path) -> Written:
    """Which of nine voices of a game calls out, in English; what half the calls are named is only tested on."""
    found: Found = {"train": [], "test": []}
    folders = [next(material.rglob(f"Sounds/voices/{voice}")) for voice in VOICES]
    common = set.intersection(*({path.name for path in folder.glob("*.ogg")} for folder in folders))
    for label, folder in enumerate(folders):
        for number, name in enumerate(sorted(common)):
            found["test" if number % 2 else "train"].append((folder / name, label))
    return save_sounds(root, "train", found["train"], VOICES), save_sounds(root, "test", found["test"], VOICES)
