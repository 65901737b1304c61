"""What a training step minimises, where it is not the task's own loss."""

from blockyard.objectives.base import Default, Objective
from blockyard.objectives.denoising import Denoising
from blockyard.objectives.guidance import Guidance
from blockyard.objectives.intermediate_supervision import IntermediateSupervision
from blockyard.objectives.local_reconstruction import LocalReconstruction
from blockyard.objectives.noprop import NoProp
from blockyard.objectives.progressive_shrinking import ProgressiveShrinking
from blockyard.objectives.rotation import Rotation
from blockyard.objectives.sorted_net import SortedNet
from blockyard.objectives.spark import SparK
from blockyard.objectives.supervision import AuxiliaryClassifiers
from blockyard.objectives.time_reversal import TimeReversal
from blockyard.objectives.two_views import TwoViews

__all__ = [
    "AuxiliaryClassifiers",
    "Default",
    "Denoising",
    "Guidance",
    "IntermediateSupervision",
    "LocalReconstruction",
    "NoProp",
    "Objective",
    "ProgressiveShrinking",
    "Rotation",
    "SortedNet",
    "SparK",
    "TimeReversal",
    "TwoViews",
]
