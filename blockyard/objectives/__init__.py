"""What a training step minimises, where it is not the task's own loss."""

from blockyard.objectives.base import Default, Objective
from blockyard.objectives.rotation import Rotation

__all__ = ["Default", "Objective", "Rotation"]
