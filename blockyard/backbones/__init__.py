"""Networks that end in a classifier and name their stages alike."""

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.framewise import Framewise
from blockyard.backbones.preresnet import PreResNet
from blockyard.backbones.pytorchvideo_backbone import PyTorchVideoBackbone
from blockyard.backbones.timm_backbone import TimmBackbone

__all__ = ["Backbone", "Framewise", "PreResNet", "PyTorchVideoBackbone", "Stage", "TimmBackbone"]
