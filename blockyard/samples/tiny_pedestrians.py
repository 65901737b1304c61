"""Striped rectangles for people, in the published layouts of five data sets with their oddities: for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import nearest

Pixels = NDArray[np.uint8]


def write_tiny_pedestrians(root: str | Path, layout: str = "market1501", people: int = 8, seed: int = 0) -> Path:
    """Write pictures of coloured stripes, one pattern a person, as market1501, msmt17, mars, ilids-vid or prid2011.

    Each layout has what readers stumble over in the published one: junk and distractors, gaps in the numbering, file
    names with more parts than others, identities that mean different people in training and test, tables that count
    from 1 in small unsigned numbers, Windows line ends, tracklets that are too short, and stray files.

    Args:
        root: Folder to write into; what is there is written over.
        layout: Which of the five.
        people: How many, half of them to train on; even, and at least 4.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If there is no such layout, or ``people`` is out of range.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"no layout {layout}; {nearest(layout, LAYOUTS)}")
    if people < 4 or people % 2 or people > 100:
        raise ValueError(f"people must be an even number from 4 to 100, got {people}")
    LAYOUTS[layout](Path(root), people, seed)
    return Path(root)


def write_market(root: Path, people: int, seed: int) -> None:
    """Cameras 1 and 6; each person twice in each, so that the same person and camera are in query and gallery."""
    folder = root / "Market-1501-v15.09.15"
    parts = {"bounding_box_train": range(1, people // 2 + 1), "bounding_box_test": range(people // 2 + 1, people + 1)}
    for part, numbers in parts.items():
        for person in numbers:
            for camera in (1, 6):
                for box in (1, 2):
                    name = f"{person:04d}_c{camera}s1_{100 * box:06d}_{box:02d}.jpg"
                    _save(folder / part / name, _person(seed, person, camera))
                if part == "bounding_box_test":
                    _save(folder / "query" / f"{person:04d}_c{camera}s1_000100_00.jpg", _person(seed, person, camera))
    for number in (1, 2, 3):
        _save(folder / "bounding_box_test" / f"-1_c1s1_{number:06d}_01.jpg", _person(seed, 900 + number, 1))
        _save(folder / "bounding_box_test" / f"0000_c6s2_{number:06d}_01.jpg", _person(seed, 950 + number, 6))
    (folder / "bounding_box_test" / "Thumbs.db").write_bytes(b"\0")


def write_msmt(root: Path, people: int, seed: int) -> None:
    """Versions 1 and 2; people are numbered from 0 in training and again in test; some names end in ``_ex``."""
    for title, train, test in (("MSMT17_V1", "train", "test"), ("MSMT17_V2", "mask_train_v2", "mask_test_v2")):
        folder, lists = root / title, dict[str, list[str]]()
        for part, first in ((train, 0), (test, people // 2)):
            for person in range(people // 2):
                for place, camera in enumerate((1, 15, 15, 7)):
                    day, end = ("0303morning", "") if camera == 1 else ("0114noon", "_ex" if place == 2 else "")
                    name = f"{person:04d}/{person:04d}_{place:03d}_{camera:02d}_{day}_0008_{place}{end}.jpg"
                    _save(folder / part / name, _person(seed, first + person, camera))
                    kinds = ["train"] * 3 + ["val"] if part == train else ["query"] + ["gallery"] * 3
                    lists.setdefault(kinds[place], []).append(f"{name} {person}")
        for kind, lines in lists.items():
            (folder / f"list_{kind}.txt").write_text("\n".join(lines) + "\n\n")


def write_mars(root: Path, people: int, seed: int) -> None:
    """Junk and distractors, names with Windows line ends, and rows that count from 1 and hold their end.

    Of the people tested, the last has one tracklet, which is a query: it has no match in another camera, nor in a
    gallery without queries. The one before it has two, which both are queries: each is the only match of the other.
    """
    half = people // 2
    train = [(person, camera, number) for person in range(1, half + 1) for camera in (1, 2) for number in (1, 2)]
    full = [(p, camera, number) for p in range(half + 1, people - 1) for camera in (1, 6) for number in (1, 2)]
    odd = [(people - 1, 1, 1), (people - 1, 6, 1), (people, 1, 1)]
    test = [(-1, 1, 1), (-1, 6, 2), (0, 1, 1), (0, 6, 2), *full, *odd]
    query = [row for row, (person, _, number) in enumerate(test, start=1) if person > 0 and number == 1]
    tables = {"train": _write_tracks(root, "train", train, seed), "test": _write_tracks(root, "test", test, seed)}
    for part, table in tables.items():
        _save_mat(root / f"mars/info/tracks_{part}_info.mat", f"track_{part}_info", np.array(table, dtype=np.int32))
    _save_mat(root / "mars/info/query_IDX.mat", "query_IDX", np.array([query], dtype=np.uint16))


def write_ilids(root: Path, people: int, seed: int) -> None:
    """Nobody has the number 3; the folder of the splits has blanks in its name."""
    numbers = [number for number in range(1, people + 2) if number != 3]
    for number in numbers:
        for camera in (1, 2):
            for frame in range(1, 4 + number % 3):
                name = f"cam{camera}/person{number:03d}/cam{camera}_person{number:03d}_{frame:05d}.png"
                _save(root / "ilids-vid/i-LIDS-VID/sequences" / name, _person(seed, number, camera, frame))
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(1, people + 1), (10, 1)), axis=1)
    splits = root / "ilids-vid/train-test people splits/train_test_splits_ilidsvid.mat"
    _save_mat(splits, "ls_set", orders.astype(np.uint16))


def write_prid(root: Path, people: int, seed: int) -> None:
    """Person 2 has 26 frames in one camera, which is too few; the two called 0201 are not the same person."""
    kept = [number for number in range(1, people + 2) if number != 2]
    lengths = {(number, camera): 27 for number in (*kept, 2, 201) for camera in "ab"} | {(2, "b"): 26, (300, "b"): 30}
    for (number, camera), length in lengths.items():
        shown = number + 500 * (number == 201 and camera == "b")
        for frame in range(1, length + 1):
            name = f"cam_{camera}/person_{number:04d}/{frame:04d}.png"
            _save(root / "prid2011/prid_2011/multi_shot" / name, _person(seed, shown, 1 + (camera == "b"), frame))
    rng, splits = np.random.default_rng(seed), []
    for _ in range(10):
        order = [f"person_{number:04d}" for number in rng.permutation(kept)]
        splits.append({"train": sorted(order[: people // 2]), "test": sorted(order[people // 2 :])})
    (root / "prid2011/splits_prid2011.json").write_text(json.dumps(splits))


LAYOUTS: dict[str, Callable[[Path, int, int], None]] = {
    "market1501": write_market,
    "msmt17": write_msmt,
    "mars": write_mars,
    "ilids-vid": write_ilids,
    "prid2011": write_prid,
}


def _write_tracks(root: Path, part: str, tracks: Iterable[tuple[int, int, int]], seed: int) -> list[list[int]]:
    """Write the tracklets and the list of their frames; rows of the table, from 1 and with their end."""
    names: list[str] = []
    table = []
    for person, camera, number in tracks:
        title = "00-1" if person < 0 else f"{person:04d}"
        start = len(names) + 1
        for frame in range(1, 3 + (person + number) % 4):
            names.append(f"{title}C{camera}T{number:04d}F{frame:03d}.jpg")
            _save(root / f"mars/bbox_{part}" / title / names[-1], _person(seed, person % 1000, camera, frame))
        table.append([start, len(names), person, camera])
    (root / "mars/info").mkdir(exist_ok=True)
    (root / f"mars/info/{part}_name.txt").write_bytes("".join(f"{name}\r\n" for name in names).encode())
    return table


def _person(seed: int, person: int, camera: int, frame: int = 0) -> Pixels:
    """A picture ``(32, 16, 3)``: stripes of the person's colours, in the light of the camera, moving with time."""
    stripes = np.random.default_rng([seed, person]).integers(40, 200, size=(4, 1, 3))
    picture = np.repeat(np.repeat(stripes, 8, axis=0), 16, axis=1) + 8 * camera
    return np.roll(picture, frame, axis=0).clip(0, 255).astype(np.uint8)


def _save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes())


def _save_mat(path: Path, name: str, table: NDArray[np.integer]) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name: table})
