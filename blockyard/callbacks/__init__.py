"""What hangs on a Trainer: the record of a run, exact resume, reports."""

from blockyard.callbacks.class_report import ClassReport
from blockyard.callbacks.contact_sheet import ContactSheet
from blockyard.callbacks.exact_resume import ExactResume
from blockyard.callbacks.mask_writer import MaskWriter
from blockyard.callbacks.predictions import PredictionsCSV
from blockyard.callbacks.record import RunRecord
from blockyard.callbacks.retrieval_report import RankedGallery, RetrievalWriter
from blockyard.callbacks.run_config import RunConfig
from blockyard.callbacks.segmentation_cases import SegmentationCases
from blockyard.callbacks.segmentation_report import SegmentationReport
from blockyard.callbacks.tag_report import TagReport

__all__ = [
    "ClassReport",
    "ContactSheet",
    "ExactResume",
    "MaskWriter",
    "PredictionsCSV",
    "RankedGallery",
    "RetrievalWriter",
    "RunConfig",
    "RunRecord",
    "SegmentationCases",
    "SegmentationReport",
    "TagReport",
]
