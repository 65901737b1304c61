"""People in motion: real motion-capture recordings that ship with pybullet, filmed in the layout of UCF-101."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blockyard.progress import at_work
from blockyard.samples.humanoid import (
    BALLS,
    HINGES,
    POSITION,
    Array,
    Camera,
    Humanoid,
    Motion,
    Pixels,
)
from blockyard.samples.photographs import crop, read_photographs, shift
from blockyard.samples.ucf_layout import Frames, Video, new_data_set, plan_videos, write_avi

Random = np.random.Generator
Size = tuple[int, int]

RECORDINGS = {
    "Walk": ("walk",),
    "Run": ("run",),
    "Jump": ("jump",),
    "Punch": ("punch",),
    "Crawl": ("crawl",),
    "Cartwheel": ("cartwheel",),
    "Backflip": ("backflip",),
    "GetUp": ("getup_facedown", "getup_faceup"),
    "Kick": ("kick",),
    "Roll": ("roll",),
    "Spin": ("spin",),
    "SpinKick": ("spinkick",),
    "Dance": ("dance_a", "dance_b"),
}
"""Classes, and the recordings of each."""
SKINS = np.array([[0.95, 0.80, 0.69], [0.87, 0.67, 0.52], [0.72, 0.50, 0.36], [0.51, 0.34, 0.24], [0.35, 0.23, 0.17]])
FPS = 15
FRAMES = (32, 38)
PART = 20
"""Videos of a class that are filmed before people are told again how far it is: about a second's work."""


def write_human_actions(
    root: str | Path,
    classes: int = 8,
    videos_per_class: int = 100,
    size: Size = (64, 80),
    seed: int = 0,
    workers: int = 1,
) -> Path:
    """Film motion-capture recordings in UCF-101's layout: 32 to 38 frames at 15 fps a video.

    A group, in all classes alike, is one person in the same clothes, before the same photograph, in the same light and
    seen from about the same side; so clothes and background say nothing of the class, and splits by group are splits
    by person. Within a group, videos differ in speed, phase, posture, distance and angle, and half are mirrored.

    A data set that was finished before is left as it is; one that is interrupted leaves nothing.

    Args:
        root: Folder to write ``UCF-101`` and ``ucfTrainTestlist`` into; new or empty.
        classes: How many of Walk, Run, Jump, Punch, Crawl, Cartwheel, Backflip, GetUp, Kick, Roll, Spin, SpinKick and
            Dance, in this order.
        videos_per_class: Videos of each class.
        size: Height and width in pixels, even numbers.
        seed: The same seed gives the same files.
        workers: Processes; a script that asks for more than one needs its ``if __name__ == "__main__"``.

    Returns:
        ``root``.

    Raises:
        ValueError: If an argument is out of range.
        DataError: If pybullet is not installed, or ``root`` holds something else.
    """
    if not 2 <= classes <= len(RECORDINGS):
        raise ValueError(f"classes must be 2 to {len(RECORDINGS)}, got {classes}")
    if min(size) < 16 or any(side % 2 for side in size):
        raise ValueError(f"size must be two even numbers of 16 and more, got {size}")
    if workers < 1:
        raise ValueError(f"workers must be positive, got {workers}")
    videos = plan_videos(list(RECORDINGS)[:classes], videos_per_class)
    recipe = {"generator": "human_actions", "classes": classes, "videos_per_class": videos_per_class}
    with new_data_set(Path(root), videos, recipe | {"size": list(size), "seed": seed}) as folder:
        if folder is not None:
            _share_out(partial(_film_all, folder, size, seed), videos, workers)
    return Path(root)


def _share_out(film: Callable[[Sequence[Video]], None], videos: Sequence[Video], workers: int) -> None:
    parts = [videos[first:end] for first, end in pairwise([*range(0, len(videos), PART), len(videos)])]
    with at_work("filming people in motion", len(parts)) as step, _pool(workers) as pool:
        for _ in (pool.map if pool else map)(film, parts):
            step()


def _pool(workers: int) -> AbstractContextManager[ProcessPoolExecutor | None]:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else nullcontext()


def _film_all(folder: Path, size: Size, seed: int, videos: Sequence[Video]) -> None:
    studio = Studio(size, seed)
    for video in videos:
        write_avi(folder / video.path, studio.film(video), FPS)
    studio.person.close()


@dataclass(frozen=True)
class Scene:
    """What the videos of a group have in common.

    Attributes:
        colours: RGB, 0 to 1, of each garment.
        backdrop: ``(H, W, 3)``, the part of a photograph that is seen.
        depth: How far behind the person it seems to be, in metres.
        yaw: Side that the camera looks from.
        light: Direction, colour and strength, as pybullet takes them.
        noise: Standard deviation of the camera's noise, in grey levels.
    """

    colours: dict[str, Array]
    backdrop: Pixels
    depth: float
    yaw: float
    light: dict[str, object]
    noise: float


class Studio:
    """Films videos; each is a function of the seed and of what the video is called, whatever was filmed before.

    Args:
        size: Height and width of the videos.
        seed: Of everything that varies.
    """

    def __init__(self, size: Size, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.person = Humanoid()
        self.motions = {name: [Motion.read(item) for item in items] for name, items in RECORDINGS.items()}
        self.photographs = read_photographs()

    def film(self, video: Video) -> Frames:
        """Film one video.

        Returns:
            ``(T, H, W, 3)``, T from 32 to 38.
        """
        scene = self.scene(video.group)
        kind = list(RECORDINGS).index(video.action)
        random = np.random.default_rng([self.seed, video.group, 1 + kind, video.number])
        motions = self.motions[video.action]
        poses = perform(random, motions[random.integers(len(motions))])
        camera = Camera(
            distance=random.uniform(2.3, 2.9),
            yaw=scene.yaw + random.uniform(-0.3, 0.3),
            pitch=random.uniform(-0.35, 0.0),
            roll=random.uniform(-0.08, 0.08),
        )
        self.person.dress(scene.colours)
        frames = np.stack(list(self._shoot(poses, camera, scene, random.uniform(-0.12, 0.12, size=2))))
        exposed = frames * np.float32(random.uniform(0.8, 1.2))
        exposed += np.float32(scene.noise) * random.standard_normal(frames.shape, dtype=np.float32)
        if random.random() < 0.5:
            exposed = exposed[:, :, ::-1]
        return exposed.clip(0, 255).astype(np.uint8)

    def scene(self, group: int) -> Scene:
        """What the videos of a group have in common; the photographs take turns."""
        photograph = self.photographs[group % len(self.photographs)]
        return make_scene(np.random.default_rng([self.seed, group]), photograph, self.size)

    def _shoot(self, poses: Array, camera: Camera, scene: Scene, off_centre: Array) -> Iterator[NDArray[np.float32]]:
        """Frames ``(H, W, 3)`` of a camera that follows the person, the backdrop gliding by."""
        axes = self.person.axes(camera)
        focal = self.size[0] / 2 / np.tan(camera.field / 2)
        targets = poses[:, POSITION].copy()
        targets[:, 1] = 0.4 + 0.5 * targets[:, 1]  # up and down only half, so that a jump remains one
        targets += off_centre @ axes
        for pose, target in zip(poses, targets, strict=True):
            self.person.pose(pose)
            picture, covered = self.person.draw(camera, target, self.size, **scene.light)
            glide = focal / (camera.distance + scene.depth) * (axes @ (target - targets[0])) * (-1, 1)
            yield picture + (1 - covered) * shift(scene.backdrop, *glide)


def make_scene(random: Random, photograph: Pixels, size: Size) -> Scene:
    """Draw a person's clothes, a backdrop, a side and a light."""
    skin = SKINS[random.integers(len(SKINS))]
    colours = {"skin": skin} | {name: random.uniform(0.05, 0.95, size=3) for name in ("shirt", "trousers", "shoes")}
    colours["sleeves"] = colours["shirt"] if random.random() < 0.5 else skin
    colours["legs"] = colours["trousers"] if random.random() < 0.7 else skin
    light = {
        "lightDirection": random.uniform((-1, 0.5, -1), (1, 2.5, 1)).tolist(),
        "lightColor": random.uniform(0.8, 1.0, size=3).tolist(),
        "lightAmbientCoeff": random.uniform(0.4, 0.7),
        "lightDiffuseCoeff": random.uniform(0.3, 0.6),
        "lightSpecularCoeff": random.uniform(0.0, 0.2),
    }
    return Scene(
        colours,
        backdrop=crop(random, photograph, size),
        depth=random.uniform(1.0, 6.0),
        yaw=random.uniform(-np.pi, np.pi),
        light=light,
        noise=random.uniform(0.0, 3.0),
    )


def perform(random: Random, motion: Motion) -> Array:
    """Perform a recording at another speed, from another moment on and in a slightly different posture.

    Returns:
        ``(T, 44)``, a pose for each frame of the video.
    """
    times = np.arange(random.integers(*FRAMES, endpoint=True)) / FPS * random.uniform(0.75, 1.2)
    spare = motion.duration - motion.bridge - times[-1]
    # Who has got up is not seen lying down again, if it can be avoided.
    latest = spare if motion.bridge and spare >= 0 else motion.duration
    poses = motion.at(times + random.uniform(0, latest))
    for place in HINGES.values():
        poses[:, place] += random.normal(0, 0.1)
    for place in BALLS.values():  # quaternions near to one another: adding is turning a little
        poses[:, place : place + 4] += random.normal(0, 0.05, size=4)
    return poses
