"""One LightningModule a task."""

from blockyard.tasks.classification import Classification
from blockyard.tasks.image_classification import ImageClassification

__all__ = ["Classification", "ImageClassification"]
