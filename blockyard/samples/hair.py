"""Hair, which pybullet's person has none of: it tells the back of a head from a face."""

from __future__ import annotations

import numpy as np

from blockyard.samples.humanoid import Array, Humanoid

HEAD = 2
RADIUS = 0.1
PLACE = (-0.025, 0.205, 0.0)
"""Metres forward, up and to the right of the joint that the head turns on: a little behind and above its middle."""


class HairyHumanoid(Humanoid):
    """A person with hair, which :meth:`dress` takes the colour of under that name.

    Raises:
        DataError: If pybullet is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        world = self._world
        shape = world.createVisualShape(world.GEOM_SPHERE, radius=RADIUS)
        self._hair = world.createMultiBody(baseVisualShapeIndex=shape)

    def dress(self, colours: dict[str, Array]) -> None:
        """Colour the garments and the hair.

        Args:
            colours: RGB, 0 to 1, of each garment and of ``hair``.
        """
        super().dress(colours)
        self._world.changeVisualShape(self._hair, -1, rgbaColor=[*colours["hair"], 1.0])

    def pose(self, pose: Array) -> None:
        """Take a pose.

        Args:
            pose: ``(44,)``, as recorded; quaternions need not be normalised.
        """
        super().pose(pose)
        position, turn = self._world.getLinkState(self._body, HEAD, computeForwardKinematics=1)[4:6]
        place = self._world.multiplyTransforms(position, turn, PLACE, (0, 0, 0, 1))
        self._world.resetBasePositionAndOrientation(self._hair, *place)


HAIRS = np.array([[0.08, 0.06, 0.05], [0.35, 0.20, 0.10], [0.75, 0.60, 0.35], [0.60, 0.58, 0.56], [0.45, 0.15, 0.08]])
"""Black, brown, fair, grey and red."""
