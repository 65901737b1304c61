"""How a network is trained: schedules, parameter groups, mixing, losses, averages, gradients, dropped paths."""

from blockyard.training.bias_loss import BiasLoss
from blockyard.training.ema import EMA
from blockyard.training.gradient_activation import GradientActivation
from blockyard.training.mixing import Mixing
from blockyard.training.scheduled_drop_path import ScheduledDropPath
from blockyard.training.stop_early import StopEarly

__all__ = ["EMA", "BiasLoss", "GradientActivation", "Mixing", "ScheduledDropPath", "StopEarly"]
