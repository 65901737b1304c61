"""What hangs on a Trainer: the record of a run, exact resume, reports."""

from blockyard.callbacks.checkpoint_io import AtomicCheckpointIO
from blockyard.callbacks.class_report import ClassReport
from blockyard.callbacks.contact_sheet import ContactSheet
from blockyard.callbacks.exact_resume import ExactResume
from blockyard.callbacks.mask_writer import MaskWriter
from blockyard.callbacks.predictions import PredictionsCSV
from blockyard.callbacks.preemption import PREEMPTED, Preemption
from blockyard.callbacks.record import RunRecord
from blockyard.callbacks.retrieval_report import RankedGallery, RetrievalWriter
from blockyard.callbacks.run_config import RunConfig
from blockyard.callbacks.segmentation_cases import SegmentationCases
from blockyard.callbacks.segmentation_report import SegmentationReport
from blockyard.callbacks.tag_report import TagReport

__all__ = [
    "PREEMPTED",
    "AtomicCheckpointIO",
    "ClassReport",
    "ContactSheet",
    "ExactResume",
    "MaskWriter",
    "PredictionsCSV",
    "Preemption",
    "RankedGallery",
    "RetrievalWriter",
    "RunConfig",
    "RunRecord",
    "SegmentationCases",
    "SegmentationReport",
    "TagReport",
]
