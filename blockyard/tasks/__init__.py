"""One LightningModule a task."""

from blockyard.tasks.base import Task
from blockyard.tasks.classification.audio import AudioClassification
from blockyard.tasks.classification.base import Classification
from blockyard.tasks.classification.image import ImageClassification
from blockyard.tasks.classification.signal import SignalClassification
from blockyard.tasks.classification.tagging import AudioTagging
from blockyard.tasks.classification.video import ActionRecognition
from blockyard.tasks.multi_task import MultiTask
from blockyard.tasks.person_reid.task import PersonReID
from blockyard.tasks.segmentation.task import SemanticSegmentation
from blockyard.training.mixing import Mixing

__all__ = [
    "ActionRecognition",
    "AudioClassification",
    "AudioTagging",
    "Classification",
    "ImageClassification",
    "Mixing",
    "MultiTask",
    "PersonReID",
    "SemanticSegmentation",
    "SignalClassification",
    "Task",
]
