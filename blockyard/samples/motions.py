"""How joints bend in real motion-capture recordings that ship with pybullet, as many people would perform them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blockyard.progress import at_work
from blockyard.samples.human_actions import RECORDINGS
from blockyard.samples.humanoid import BALLS, HINGES, Array, Motion
from blockyard.samples.new_folder import new_folder

Random = np.random.Generator

JOINTS = {
    "chest": 1,
    "neck": 2,
    "right_hip": 3,
    "right_knee": 4,
    "right_ankle": 5,
    "right_shoulder": 6,
    "right_elbow": 7,
    "left_hip": 9,
    "left_knee": 10,
    "left_ankle": 11,
    "left_shoulder": 12,
    "left_elbow": 13,
}
"""The channels, and the link of the body that each joint moves."""
MIRRORED = [0, 1, *range(7, 12), *range(2, 7)]
"""Where each channel is of someone who does all with the other side."""
RATES = (50, 25)
"""Of the two kinds of device, in Hz; people with even numbers wear the first."""
SECONDS = (4.0, 7.0)
NOISE = 0.25
"""Standard deviation of a sensor's noise, in radians."""


@dataclass(frozen=True)
class Person:
    """What the recordings of a person have in common.

    Attributes:
        rate: Of the device, in Hz.
        tempo: How many times as fast as the person who was recorded.
        gain: Of the sensor of each joint ``(12,)``.
        offset: Of each sensor ``(12,)``, in radians: none sits as on another person.
        mirrored: Whether left and right change places.
    """

    rate: int
    tempo: float
    gain: Array
    offset: Array
    mirrored: bool


def write_motions(root: str | Path, subjects: int = 24, takes: int = 2, seed: int = 0) -> Path:
    """Write how twelve joints bend in thirteen actions, as made-up people with sensors at their joints perform them.

    Real are the fifteen recordings of motion capture, of one performance each; people differ in tempo and side, and in
    how their sensors sit, takes in phase, length and noise. A ``manifest.csv`` says who performs what: splits are by
    person. The joints' angles are in radians; half of the people are recorded at 50 Hz, half at 25.

    A data set that was finished before is left as it is; one that is interrupted leaves nothing.

    Args:
        root: Folder to write ``manifest.csv`` and ``recordings`` into; new or empty.
        subjects: People, 4 to 999.
        takes: Recordings of each action by each person, 1 to 99.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If an argument is out of range.
        DataError: If pybullet is not installed, or ``root`` holds something else.
    """
    if not 4 <= subjects <= 999 or not 1 <= takes <= 99:
        raise ValueError(f"subjects={subjects} must be 4 to 999 and takes={takes} 1 to 99")
    root = Path(root)
    recipe = {"generator": "motions", "subjects": subjects, "takes": takes, "seed": seed}
    with new_folder(root, recipe) as folder:
        if folder is not None:
            (folder / "recordings").mkdir()
            known = {action: [Motion.read(name) for name in names] for action, names in RECORDINGS.items()}
            rows: list[tuple[str, str, str]] = []
            with at_work("performing motions", subjects) as step:
                for number in range(subjects):
                    rows += _record(folder, known, number, takes, seed)
                    step()
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows([("file", "label", "subject"), *rows])
            (folder / "manifest.csv").write_text(text.getvalue())
    return root


def _record(
    folder: Path, known: dict[str, list[Motion]], number: int, takes: int, seed: int
) -> list[tuple[str, str, str]]:
    """Write the recordings of a person; they are a function of number and seed, whatever was recorded before."""
    person, subject = make_person(np.random.default_rng([seed, number]), number), f"person{number + 1:03d}"
    rows = []
    for kind, (action, motions) in enumerate(known.items(), start=1):
        for take in range(takes):
            random = np.random.default_rng([seed, number, kind, take])
            angles = measure(random, person, motions[random.integers(len(motions))])
            file = f"recordings/{subject}_{action.lower()}_{take + 1:02d}.npz"
            series, channels = angles.astype(np.float32), np.array(list(JOINTS))
            np.savez(folder / file, allow_pickle=False, series=series, rate=np.array(person.rate), channels=channels)
            rows.append((file, action, subject))
    return rows


def make_person(random: Random, number: int) -> Person:
    """Draw who wears which device, and how."""
    return Person(
        rate=RATES[number % len(RATES)],
        tempo=random.uniform(0.7, 1.4),
        gain=random.uniform(0.7, 1.3, size=len(JOINTS)),
        offset=random.normal(0, 0.3, size=len(JOINTS)),
        mirrored=bool(random.random() < 0.5),
    )


def measure(random: Random, person: Person, motion: Motion) -> Array:
    """What the sensors of a person tell of a motion, from any moment of it on.

    Returns:
        ``(T, 12)``, radians.
    """
    samples = round(random.uniform(*SECONDS) * person.rate)
    times = random.uniform(0, motion.duration) + np.arange(samples) / person.rate * person.tempo
    angles = bends(motion.at(times))
    if person.mirrored:
        angles = angles[:, MIRRORED]
    return angles * person.gain + person.offset + random.normal(0, NOISE, size=angles.shape)


def bends(poses: Array) -> Array:
    """How far each joint is turned from where it rests, ``(T, 12)`` in radians, of poses ``(T, 44)``."""
    columns = []
    for link in JOINTS.values():
        if link in HINGES:
            columns.append(np.abs(poses[:, HINGES[link]]))
            continue
        turns = poses[:, BALLS[link] : BALLS[link] + 4]
        columns.append(2 * np.arccos(np.abs(turns[:, 0] / np.linalg.norm(turns, axis=1)).clip(0, 1)))
    return np.stack(columns, axis=1)
