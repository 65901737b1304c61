"""How a network is trained, and what is measured on the way."""

from blockyard.training.bias_loss import BiasLoss
from blockyard.training.ema import EMA
from blockyard.training.gradient_activation import GradientActivation
from blockyard.training.landscape import LossLandscape
from blockyard.training.mixing import Mixing
from blockyard.training.scheduled_drop_path import ScheduledDropPath
from blockyard.training.selection import ActivationSelection
from blockyard.training.stop_early import StopEarly
from blockyard.training.unfreezing import ProgressiveUnfreezing

__all__ = [
    "EMA",
    "ActivationSelection",
    "BiasLoss",
    "GradientActivation",
    "LossLandscape",
    "Mixing",
    "ProgressiveUnfreezing",
    "ScheduledDropPath",
    "StopEarly",
]
