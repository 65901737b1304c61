"""What hangs on a Trainer: the record of a run, exact resume, gradient transforms, schedules, reports."""

from blockyard.callbacks.checkpoint_io import AtomicCheckpointIO
from blockyard.callbacks.class_report import ClassReport
from blockyard.callbacks.contact_sheet import ContactSheet
from blockyard.callbacks.ema import EMA
from blockyard.callbacks.exact_resume import ExactResume
from blockyard.callbacks.gradient_activation import GradientActivation
from blockyard.callbacks.mask_writer import MaskWriter
from blockyard.callbacks.predictions import PredictionsCSV
from blockyard.callbacks.record import RunRecord
from blockyard.callbacks.retrieval_report import RankedGallery, RetrievalWriter
from blockyard.callbacks.run_config import RunConfig
from blockyard.callbacks.scheduled_drop_path import ScheduledDropPath
from blockyard.callbacks.segmentation_cases import SegmentationCases
from blockyard.callbacks.segmentation_report import SegmentationReport
from blockyard.callbacks.stop_early import StopEarly
from blockyard.callbacks.tag_report import TagReport

__all__ = [
    "EMA",
    "AtomicCheckpointIO",
    "ClassReport",
    "ContactSheet",
    "ExactResume",
    "GradientActivation",
    "MaskWriter",
    "PredictionsCSV",
    "RankedGallery",
    "RetrievalWriter",
    "RunConfig",
    "RunRecord",
    "ScheduledDropPath",
    "SegmentationCases",
    "SegmentationReport",
    "StopEarly",
    "TagReport",
]
