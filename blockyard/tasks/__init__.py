"""One LightningModule a task."""

from blockyard.tasks.action_recognition import ActionRecognition
from blockyard.tasks.base import Task
from blockyard.tasks.classification import Classification
from blockyard.tasks.image_classification import ImageClassification

__all__ = ["ActionRecognition", "Classification", "ImageClassification", "Task"]
