"""Detection: boxes around the objects of a picture, and what they are."""

from blockyard.tasks.detection.task import ObjectDetection

__all__ = ["ObjectDetection"]
