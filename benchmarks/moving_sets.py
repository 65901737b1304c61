"""Small sets of videos and people, of motion capture and photographs in packages: what few_samples.py trains on."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import flare_figures as flare
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from small_sets import Part, Written, archive

from blockyard.samples.human_actions import write_human_actions
from blockyard.samples.walkers import write_walkers

Film = NDArray[np.uint8]
"""Frames ``(T, H, W, 3)``."""
MOVES = ("left", "right", "up", "down", "in", "out")
SCENES = ("chelsea", "coffee", "rocket", "ihc", "retina", "motorcycle_left", "camera", "coins", "brick", "grass")
"""Photographs; the last three are tested on."""
ACTIONS = 5
PEOPLE, ASKED = 60, 20
"""Walkers, and how many of them are tested on."""
NAME = re.compile(r"(\d+)_c(\d)s")


def save_films(root: Path, split: str, films: list[tuple[str, Film]]) -> Part:
    """One folder a class; 8 frames of at most 40 rows for the references, ``(n, 3, 8, H, W)``."""
    classes = sorted({label for label, _ in films})
    inputs = []
    for number, (label, film) in enumerate(films):
        folder = root / split / label
        folder.mkdir(parents=True, exist_ok=True)
        with av.open(str(folder / f"{number:04d}.mp4"), "w") as file:
            stream = file.add_stream("libx264", 15, options={"crf": "18"})
            stream.height, stream.width, stream.pix_fmt = *film.shape[1:3], "yuv420p"
            for frame in film:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            file.mux(stream.encode())
        rows = np.linspace(0, len(film) - 1, 8).round().astype(int)
        scale = 40 / film.shape[1]
        small = [cv2.resize(film[row], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for row in rows]
        inputs.append(np.stack(small).transpose(3, 0, 1, 2).astype(np.float32) / 255)
    return Part(np.stack(inputs), np.array([classes.index(label) for label, _ in films]))


def camera(material: Path, root: Path) -> Written:
    """How a camera moves over a photograph: 12 films of each move over seven, tested on 8 over three others."""
    rng = np.random.default_rng(0)
    pictures = list(_photographs(material))
    parts = []
    for split, chosen, each in (("train", pictures[:-3], 12), ("test", pictures[-3:], 8)):
        films = [(move, _pan(chosen[number % len(chosen)], move, rng)) for move in MOVES for number in range(each)]
        parts.append(save_films(root, split, films))
    return parts[0], parts[1]


def _photographs(material: Path) -> Iterator[Film]:
    wheel = archive(material, "scikit_image")
    for name in SCENES:
        file = next(item for item in wheel.namelist() if re.fullmatch(rf"skimage/data/{name}\.(png|jpg)", item))
        yield np.asarray(Image.open(io.BytesIO(wheel.read(file))).convert("RGB"))


def _pan(picture: Film, move: str, rng: np.random.Generator) -> Film:
    """24 frames of 64×64: a window that moves by a third of its side, or changes its size as much."""
    side = 0.5 * min(picture.shape[:2])
    start = np.array([rng.uniform(0, length - 1.4 * side) for length in picture.shape[:2]])
    towards = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}.get(move, (0, 0))
    step, growth = np.array(towards) * side * 0.4, {"in": -0.4, "out": 0.4}.get(move, 0.0)
    start = start + np.where(step < 0, 0.4 * side, 0)
    first = 1.4 * side if move == "in" else side
    frames = []
    for time in np.linspace(0, 1, 24):
        top, left = (start + time * step).round().astype(int)
        length = round(first + time * growth * side)
        window = picture[max(0, top) : top + length, max(0, left) : left + length]
        frames.append(cv2.resize(window, (64, 64), interpolation=cv2.INTER_AREA))
    return np.stack(frames)


def actions(_: Path, root: Path) -> Written:
    """What somebody does, of five motions; 12 films of each to train on, and other people are tested on."""
    return _filmed(root, lambda name, film: [(name, film)])


def order(_: Path, root: Path) -> Written:
    """Whether a film of somebody who walks, runs, jumps, punches or crawls runs forwards or backwards."""
    return _filmed(root, lambda _, film: [("forwards", film), ("backwards", film[::-1])])


def _filmed(root: Path, use: Callable[[str, Film], list[tuple[str, Film]]]) -> Written:
    with tempfile.TemporaryDirectory() as folder:
        made = write_human_actions(Path(folder) / "made", classes=ACTIONS, videos_per_class=20)
        parts = []
        for split in ("train", "test"):
            lines = (made / "ucfTrainTestlist" / f"{split}list01.txt").read_text().split("\n")
            names = [line.split()[0] for line in lines if line.strip()]
            films = [item for name in names for item in use(name.split("/")[0], _read(made / "UCF-101" / name))]
            parts.append(save_films(root, split, films))
    return parts[0], parts[1]


def _read(path: Path) -> Film:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def creatures(material: Path, root: Path) -> Written:
    """What a creature of Flare does, by its drawings from two sides; tested on those of a later campaign."""
    parts = []
    for split, part in (("train", "fantasycore"), ("test", "empyrean_campaign")):
        films = []
        for number, drawings in enumerate(flare.creatures(material, part)):
            for turn, deed in enumerate(flare.DEEDS):
                for side in (number + turn, number + turn + flare.SIDES // 2):
                    films.append((deed, _played(drawings, deed, side % flare.SIDES)))
        parts.append(save_films(root, split, films))
    return parts[0], parts[1]


def _played(drawings: flare.Drawings, deed: str, side: int) -> Film:
    """24 frames of 64×64, two a drawing: again and again, standing there and back, and the dead remain as they are."""
    shown = [
        cv2.resize(flare.shown(drawing), (64, 64), interpolation=cv2.INTER_AREA) for drawing in drawings[deed][side]
    ]
    if deed == "stance":
        shown += shown[-2:0:-1]
    rest = shown[-1:] if deed == "die" else shown
    return np.stack((shown + 12 * rest)[:12]).repeat(2, axis=0)


def walkers(_: Path, root: Path) -> Written:
    """Who it is: 640 pictures of 40 people by two cameras; 20 others are to be found.

    Labels ``(n, 3)``: person, camera, and whether it is asked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = write_walkers(Path(folder) / "made", "market1501", PEOPLE, ASKED) / "Market-1501-v15.09.15"
        parts = []
        for names, goal in ((["bounding_box_train"], "train"), (["query", "bounding_box_test"], "test")):
            inputs, labels = [], []
            for name in names:
                for path in sorted((made / name).glob("*.jpg")):
                    found = NAME.match(path.name)
                    if found is None or int(found[1]) == 0:
                        continue
                    to = root / ({"bounding_box_test": "gallery"}.get(name, name) if goal == "test" else "train")
                    place = to / found[1] / f"camera {found[2]}"
                    place.mkdir(parents=True, exist_ok=True)
                    (place / path.name).write_bytes(path.read_bytes())
                    inputs.append(np.asarray(Image.open(path)).transpose(2, 0, 1))
                    labels.append((int(found[1]), int(found[2]), name == "query"))
            parts.append(Part(np.stack(inputs).astype(np.float32) / 255, np.array(labels)))
    return parts[0], parts[1]
