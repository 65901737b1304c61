"""A dressed person moved by real motion capture and drawn in software: the recordings and the body ship with pybullet.

Lengths are in metres, y points up, angles are in radians.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.samples.packages import package_folder

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Alpha = NDArray[np.float32]

# Where the numbers of a recorded frame are (its first is a duration), and which link of the body each joint moves.
POSITION = slice(1, 4)
TURN = slice(4, 8)
BALLS = {1: 8, 2: 12, 3: 16, 5: 21, 6: 25, 9: 30, 11: 35, 12: 39}
HINGES = {4: 20, 7: 29, 10: 34, 13: 43}
QUATERNIONS = (TURN.start, *BALLS.values())

GARMENTS = {
    "skin": (2, 8, 14),
    "shirt": (1, 6, 12),
    "sleeves": (7, 13),
    "trousers": (0, 3, 9),
    "legs": (4, 10),
    "shoes": (5, 11),
}
"""What a person wears, and the links that show it; bare arms and legs are sleeves and legs of the skin's colour."""
CLOSING = 0.2
BRIDGE = 0.5
"""Seconds in which a recording that loops ends in its first pose, and in which another one returns to it."""
SUPERSAMPLING = 2


@dataclass(frozen=True)
class Motion:
    """A recording, as a function of time.

    Attributes:
        times: ``(F,)``, seconds, from 0.
        frames: ``(F, 44)``, as recorded: quaternions are w, x, y, z and of one sign along the recording.
        bridge: Seconds at the end in which it returns to its first pose; 0 if it is one round of a motion that goes on.
    """

    times: Array
    frames: Array
    bridge: float

    @property
    def duration(self) -> float:
        """Seconds of a round, with the bridge."""
        return float(self.times[-1])

    @classmethod
    def read(cls, name: str) -> Motion:
        """Read the recording ``humanoid3d_<name>.txt`` of pybullet.

        Raises:
            DataError: If pybullet is not installed.
        """
        content = json.loads((package_folder("pybullet_data") / f"data/motions/humanoid3d_{name}.txt").read_text())
        frames = np.array(content["Frames"])
        times = np.concatenate([[0.0], np.cumsum(frames[:-1, 0])])
        first = frames[:1].copy()
        first[0, [1, 3]] = frames[-1, [1, 3]]  # x and z, where the motion has led to
        frames = np.concatenate([frames, first])
        _align(frames)
        if content["Loop"] == "wrap":  # of recorded people no round ends exactly as it began
            share = 1 - (times[-1] - times).clip(0, CLOSING) / CLOSING
            frames = frames[:-1] + share[:, None] * (frames[-1] - frames[-2])
            return cls(times, frames, bridge=0.0)
        return cls(np.append(times, times[-1] + BRIDGE), frames, BRIDGE)

    def at(self, times: Array) -> Array:
        """Poses at any times, round after round; whoever walks walks on.

        Args:
            times: ``(T,)``, seconds.

        Returns:
            ``(T, 44)``, as recorded; quaternions have one sign along time, but are not normalised.
        """
        rounds, within = np.divmod(times, self.duration)
        poses = np.stack([np.interp(within, self.times, column) for column in self.frames.T], axis=1)
        travelled = self.frames[-1, POSITION] - self.frames[0, POSITION]
        poses[:, POSITION] += rounds[:, None] * travelled * (1, 0, 1)
        _align(poses)
        return poses


@dataclass(frozen=True)
class Camera:
    """Where the person is seen from.

    Attributes:
        distance: From the target.
        yaw: Around the person; 0 looks along z, at the side of someone who faces x.
        pitch: Negative looks down.
        roll: Of the camera.
        field: Vertical angle of view.
    """

    distance: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    field: float = 0.8


class Humanoid:
    """A person in an empty room, drawn by pybullet's software renderer.

    Raises:
        DataError: If pybullet is not installed.
    """

    def __init__(self) -> None:
        folder = package_folder("pybullet_data")
        with _silence():  # pybullet tells its build time, and that spherical joints have no axis
            import pybullet
            from pybullet_utils.bullet_client import BulletClient

            self._world = BulletClient(pybullet.DIRECT)
            self._body = self._world.loadURDF(
                str(folder / "humanoid/humanoid.urdf"),
                globalScaling=0.25,
                useFixedBase=True,
                flags=pybullet.URDF_MAINTAIN_LINK_ORDER,
            )

    def close(self) -> None:
        """Free the renderer."""
        self._world.disconnect()

    def dress(self, colours: dict[str, Array]) -> None:
        """Colour the garments.

        Args:
            colours: RGB, 0 to 1, of each of :data:`GARMENTS`.
        """
        for garment, links in GARMENTS.items():
            for link in links:
                self._world.changeVisualShape(self._body, link, rgbaColor=[*colours[garment], 1.0])

    def pose(self, pose: Array) -> None:
        """Take a pose.

        Args:
            pose: ``(44,)``, as recorded; quaternions need not be normalised.
        """
        self._world.resetBasePositionAndOrientation(self._body, pose[POSITION].tolist(), _xyzw(pose, TURN.start))
        joints = {link: _xyzw(pose, start) for link, start in BALLS.items()}
        joints |= {link: [float(pose[place])] for link, place in HINGES.items()}
        self._world.resetJointStatesMultiDof(self._body, list(joints), list(joints.values()))

    def draw(self, camera: Camera, target: Array, size: tuple[int, int], **light: object) -> tuple[Pixels, Alpha]:
        """What the camera sees.

        Args:
            camera: The camera.
            target: ``(3,)``, what it is directed at.
            size: Height and width.
            **light: ``lightDirection``, ``lightColor``, ``lightAmbientCoeff`` and such, as pybullet takes them.

        Returns:
            The person in colour, ``(H, W, 3)``, on black, and how much of each pixel is covered, ``(H, W, 1)``, 0 to 1:
            what stands behind shows through as ``picture + (1 - covered) * behind``.
        """
        height, width = (SUPERSAMPLING * side for side in size)
        _, _, colours, _, owners = self._world.getCameraImage(
            width,
            height,
            viewMatrix=self._view(camera, target),
            projectionMatrix=self._world.computeProjectionMatrixFOV(np.degrees(camera.field), width / height, 0.1, 50),
            shadow=0,
            renderer=self._world.ER_TINY_RENDERER,
            **light,
        )
        covered = (np.asarray(owners).reshape(height, width, 1) >= 0).astype(np.uint8)
        picture = np.asarray(colours, dtype=np.uint8).reshape(height, width, 4)[..., :3] * covered
        shrunk = cv2.resize(np.concatenate([picture, 255 * covered], axis=2), size[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk[..., :3], dtype=np.uint8), shrunk[..., 3:] / np.float32(255)

    def axes(self, camera: Camera) -> Array:
        """Directions of the picture's right and up in the room, ``(2, 3)``."""
        return np.array(self._view(camera, np.zeros(3))).reshape(4, 4)[:3, :2].T

    def _view(self, camera: Camera, target: Array) -> list[float]:
        angles = np.degrees((camera.yaw, camera.pitch, camera.roll)).tolist()
        return self._world.computeViewMatrixFromYawPitchRoll(target.tolist(), camera.distance, *angles, 1)


def _align(frames: Array) -> None:
    """Keep quaternions on one side: q and -q are the same rotation, but not halfway from one to the other."""
    for start in QUATERNIONS:
        quaternions = frames[:, start : start + 4]
        flips = (quaternions[1:] * quaternions[:-1]).sum(1) < 0
        quaternions[1:] *= np.cumprod(np.where(flips, -1.0, 1.0))[:, None]


def _xyzw(pose: Array, start: int) -> list[float]:
    quaternion = pose[start : start + 4] / np.linalg.norm(pose[start : start + 4])
    return [*quaternion[1:].tolist(), float(quaternion[0])]


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what a C library prints."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor, not a path
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
        yield
    finally:
        for stream, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, stream)
            os.close(descriptor)
