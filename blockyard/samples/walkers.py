"""Dressed people who walk or run by motion capture, seen by several cameras, in layouts of person re-identification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import nearest
from blockyard.progress import at_work
from blockyard.samples.hair import HAIRS, HairyHumanoid
from blockyard.samples.human_actions import SKINS
from blockyard.samples.humanoid import POSITION, Array, Camera, Motion, Pixels
from blockyard.samples.new_folder import new_folder
from blockyard.samples.person_layouts import LAYOUTS, Cast, Shot
from blockyard.samples.photographs import crop, read_photographs

Frames = NDArray[np.uint8]
Random = np.random.Generator
Layout = Literal["market1501", "mars", "prid2011"]

GAITS = ("walk", "walk", "walk", "run")
CLOTHS = np.linspace(0.08, 0.92, 4)
"""Brightness of a colour channel of a garment: so few that people share some of their clothes."""
SHOTS = {"market1501": 4, "mars": 2, "prid2011": 1}
FRAMES = {"market1501": (2, 2), "mars": (12, 20), "prid2011": (27, 33)}
FPS = 15
APART = 11
"""Frames from one picture of a shot to the next where they are not a tracklet: two thirds of a second."""


def write_walkers(
    root: str | Path,
    layout: Layout = "market1501",
    identities: int = 100,
    test_identities: int = 40,
    cameras: int = 2,
    shots: int | None = None,
    frames: tuple[int, int] | None = None,
    size: tuple[int, int] = (128, 64),
    seed: int = 0,
) -> Path:
    """Film walkers in the layout of Market-1501, MARS or PRID-2011.

    A person has skin, hair and clothes of few colours, so that people are alike in part. A camera has its side, height,
    colour cast, exposure, sharpness and noise, every shot a background: what tells people apart is what they wear. Of
    strangers, a quarter as many as are tested on, each is seen by one camera. What was finished is left as it is.

    Args:
        root: Folder to write into; new or empty.
        layout: Which of the three.
        identities: People, in all.
        test_identities: How many of them are tested on; in prid2011 each of the ten splits chooses others.
        cameras: 2 to 6; in prid2011 there are 2.
        shots: How often each camera sees a person, in sequences or tracklets; None means 4, in mars 2, in prid2011 1.
        frames: Fewest and most pictures of a shot; None means 2 in market1501, 12 to 20 in mars, 27 to 33 in prid2011.
        size: Height and width in pixels.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If there is no such layout, or a number is out of range.
        DataError: If pybullet is not installed, or ``root`` holds something else.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"no layout {layout}; {nearest(layout, LAYOUTS)}")
    seen = shots or SHOTS[layout], frames or FRAMES[layout]
    cast = Cast(identities - test_identities, test_identities, cameras, *seen, seed)
    _check(layout, cast, size)
    recipe = {"generator": "walkers", "layout": layout, "size": list(size), **vars(cast)}
    plan, finish = LAYOUTS[layout]
    with new_folder(Path(root), recipe) as folder:
        if folder is not None:
            planned = plan(cast)
            film_all(folder, size, seed, APART if layout == "market1501" else 1, planned)
            finish(folder, cast, planned)
    return Path(root)


def film_all(folder: Path, size: tuple[int, int], seed: int, apart: int, shots: Sequence[Shot]) -> None:
    """Film shots and write their frames.

    Args:
        folder: What the shots' files are relative to.
        size: Height and width.
        seed: Of everything that varies.
        apart: Frames, at 15 a second, from one picture to the next.
        shots: What to film.
    """
    for place in sorted({Path(file).parent for shot in shots for file in shot.files}):
        (folder / place).mkdir(parents=True)
    street = Street(size, seed)
    with at_work("filming walkers", len(shots)) as step:
        for shot in shots:
            for file, frame in zip(shot.files, street.film(shot, apart), strict=True):
                options = [cv2.IMWRITE_JPEG_QUALITY, 90] if file.endswith(".jpg") else []
                content = cv2.imencode(Path(file).suffix, np.ascontiguousarray(frame[..., ::-1]), options)[1]
                (folder / file).write_bytes(content.tobytes())
            step()
    street.person.close()


@dataclass(frozen=True)
class Post:
    """A camera and its place.

    Attributes:
        yaw: Side that it looks from; 0 is that of people who walk to the right.
        pitch: Down is negative.
        gain: Of each colour channel.
        gamma: Of the brightness.
        blur: Standard deviation in pixels.
        noise: Standard deviation in grey levels.
        light: Direction and strength, as pybullet takes them.
    """

    yaw: float
    pitch: float
    gain: NDArray[np.float32]
    gamma: float
    blur: float
    noise: float
    light: dict[str, Any]


class Street:
    """Films shots; each is a function of the seed and of who is seen by which camera for the which time.

    Args:
        size: Height and width of the pictures.
        seed: Of everything that varies.
    """

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        self.size = size
        self.seed = seed
        self.person = HairyHumanoid()
        self.motions = {name: Motion.read(name) for name in sorted(set(GAITS))}
        self.photographs = read_photographs()
        self.post = cache(self.post)  # type: ignore[method-assign]

    def film(self, shot: Shot, apart: int) -> Iterator[Frames]:
        """Frames ``(H, W, 3)`` of a shot.

        Args:
            shot: What to film.
            apart: Frames, at 15 a second, from one picture to the next.
        """
        random = np.random.default_rng([self.seed, 3, shot.person, shot.camera, shot.number])
        post = self.post(shot.camera)
        motion = self.motions[GAITS[random.integers(len(GAITS))]]
        times = random.uniform(0, motion.duration) + np.arange(len(shot.files)) * apart / FPS * random.uniform(0.8, 1.2)
        camera = Camera(random.uniform(2.6, 3.1), post.yaw + random.uniform(-0.4, 0.4), post.pitch, field=0.7)
        backdrop = crop(random, self.photographs[random.integers(len(self.photographs))], self.size)
        self.person.dress(dress(np.random.default_rng([self.seed, 1, shot.person])))
        exposure = random.uniform(0.85, 1.15)
        for pose in motion.at(times):
            yield self._expose(self._shoot(pose, camera, post, backdrop, random), post, exposure, random)

    def post(self, camera: int) -> Post:
        """Where a camera is, and what its pictures are like: they stand around the people."""
        random = np.random.default_rng([self.seed, 2, camera])
        return Post(
            yaw=2.1 * camera + random.uniform(-0.3, 0.3),
            pitch=random.uniform(-0.45, -0.05),
            gain=random.uniform(0.9, 1.1, size=3).astype(np.float32),
            gamma=random.uniform(0.85, 1.15),
            blur=random.uniform(0.2, 0.8),
            noise=random.uniform(1.0, 3.0),
            light={
                "lightDirection": random.uniform((-1, 0.5, -1), (1, 2.5, 1)).tolist(),
                "lightAmbientCoeff": random.uniform(0.45, 0.65),
                "lightDiffuseCoeff": random.uniform(0.35, 0.55),
                "lightSpecularCoeff": random.uniform(0.0, 0.1),
            },
        )

    def _shoot(self, pose: Array, camera: Camera, post: Post, backdrop: Pixels, random: Random) -> NDArray[np.float32]:
        """One frame, a little off centre, as a detector would cut it out."""
        target = pose[POSITION] + random.normal(0, 0.04, size=2) @ self.person.axes(camera)
        self.person.pose(pose)
        picture, covered = self.person.draw(camera, target, self.size, **post.light)
        return np.asarray(picture + (1 - covered) * backdrop, dtype=np.float32)

    def _expose(self, picture: NDArray[np.float32], post: Post, exposure: float, random: Random) -> Frames:
        """What the camera makes of the light."""
        blurred = cv2.GaussianBlur(picture, (0, 0), post.blur)
        seen = 255 * (blurred * (post.gain * np.float32(exposure)) / 255).clip(0, 1) ** np.float32(post.gamma)
        seen += np.float32(post.noise) * random.standard_normal(seen.shape, dtype=np.float32)
        return np.asarray(seen.clip(0, 255), dtype=np.uint8)


def dress(random: Random) -> dict[str, Array]:
    """Draw a person's colours: a shirt with long sleeves or short, trousers long or short, shoes."""
    skin = SKINS[random.integers(len(SKINS))]
    colours = {"skin": skin, "hair": HAIRS[random.integers(len(HAIRS))]}
    colours |= {name: random.choice(CLOTHS, size=3) for name in ("shirt", "trousers", "shoes")}
    colours["sleeves"] = colours["shirt"] if random.random() < 0.5 else skin
    colours["legs"] = colours["trousers"] if random.random() < 0.7 else skin
    return colours


def _check(layout: str, cast: Cast, size: tuple[int, int]) -> None:
    """Refuse what the layout has no names for, or what leaves nothing to find or to see."""
    if min(size) < 16:
        raise ValueError(f"size must be at least 16 both ways, got {size}")
    if min(cast.train, cast.test) < 2 or cast.train + cast.test + len(cast.strangers) > 9999:
        raise ValueError(f"there must be two people to train on and two to test on, got {cast.train} and {cast.test}")
    if not 2 <= cast.cameras <= 6 or not 1 <= cast.shots <= 9 or not 1 <= cast.frames[0] <= cast.frames[1] <= 999:
        raise ValueError(
            f"cameras={cast.cameras} must be 2 to 6, shots={cast.shots} 1 to 9 and frames={cast.frames} 1 to 999"
        )
    if layout == "market1501" and cast.shots * cast.frames[0] < 2:
        raise ValueError("market1501: of one picture a person and camera, all would be queries: ask for more frames")
    if layout == "prid2011" and (cast.cameras, cast.shots) != (2, 1):
        raise ValueError("prid2011: there are 2 cameras, and 1 shot of everyone in each")
    if layout == "prid2011" and (cast.frames[0] < 27 or cast.train + cast.test > 200):
        raise ValueError("prid2011: 27 frames are the fewest that count, and 200 people the most")
