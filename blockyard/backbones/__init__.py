"""Networks that end in a classifier, or in maps for a head, and name their stages alike."""

from blockyard.backbones.adapters.diffusion_unet import DiffusionUNet
from blockyard.backbones.adapters.mmseg_backbone import MMSegBackbone
from blockyard.backbones.adapters.pytorchvideo_backbone import PyTorchVideoBackbone
from blockyard.backbones.adapters.timm_backbone import TimmBackbone
from blockyard.backbones.adapters.timm_features import TimmFeatures
from blockyard.backbones.backbone_features import BackboneFeatures
from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.inputs.framewise import Framewise
from blockyard.backbones.inputs.front_end import FrontEnd
from blockyard.backbones.inputs.front_ended import FrontEnded
from blockyard.backbones.inputs.log_mel import LogMel
from blockyard.backbones.inputs.scalogram import Scalogram
from blockyard.backbones.label_denoiser import LabelDenoiser
from blockyard.backbones.pdc_net import PDCNet
from blockyard.backbones.preresnet import PreResNet
from blockyard.backbones.skeletons.crossvit import CrossViT
from blockyard.backbones.skeletons.elastic_mobilenet import ElasticMobileNet
from blockyard.backbones.skeletons.funnelnet import FunnelNet
from blockyard.backbones.skeletons.hourglass import HourglassUniFormer
from blockyard.backbones.skeletons.interpretable_cnn import InterpretableCNN
from blockyard.backbones.skeletons.isotropic import Isotropic
from blockyard.backbones.skeletons.late_fusion import LateFusion
from blockyard.backbones.skeletons.lsnet import LSNet
from blockyard.backbones.skeletons.maxim import MAXIM
from blockyard.backbones.skeletons.metaformer import MetaFormer
from blockyard.backbones.skeletons.nasnet import NASNet
from blockyard.backbones.skeletons.raft_mlp import RaftMLP
from blockyard.backbones.skeletons.revcol import RevCol
from blockyard.backbones.skeletons.simplenet import SimpleNet
from blockyard.backbones.skeletons.skipblock_net import SkipblockNet
from blockyard.backbones.skeletons.sret import SReT
from blockyard.backbones.skeletons.two_view_net import TwoViewNet

__all__ = [
    "MAXIM",
    "Backbone",
    "BackboneFeatures",
    "CrossViT",
    "DiffusionUNet",
    "ElasticMobileNet",
    "Framewise",
    "FrontEnd",
    "FrontEnded",
    "FunnelNet",
    "HourglassUniFormer",
    "InterpretableCNN",
    "Isotropic",
    "LSNet",
    "LabelDenoiser",
    "LateFusion",
    "LogMel",
    "MMSegBackbone",
    "MetaFormer",
    "NASNet",
    "PDCNet",
    "PreResNet",
    "PyTorchVideoBackbone",
    "RaftMLP",
    "RevCol",
    "SReT",
    "Scalogram",
    "SimpleNet",
    "SkipblockNet",
    "Stage",
    "TimmBackbone",
    "TimmFeatures",
    "TwoViewNet",
]
