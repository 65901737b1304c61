"""What hangs on a Trainer."""

from blockyard.callbacks.class_report import ClassReport
from blockyard.callbacks.contact_sheet import ContactSheet
from blockyard.callbacks.exact_resume import ExactResume
from blockyard.callbacks.predictions import PredictionsCSV
from blockyard.callbacks.record import RunRecord
from blockyard.callbacks.run_config import RunConfig

__all__ = ["ClassReport", "ContactSheet", "ExactResume", "PredictionsCSV", "RunConfig", "RunRecord"]
