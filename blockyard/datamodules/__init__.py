"""Data modules: one class a data set, read in its published on-disk layout."""

import os

# albumentations asks a server for its newest version on import unless told not to; this package is the only
# one that imports it, and nothing in this package can be imported before this line.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from blockyard.datamodules.ade20k import ADE20K
from blockyard.datamodules.audio import AudioDataModule
from blockyard.datamodules.audio_csv import AudioCSV
from blockyard.datamodules.audio_folder import AudioFolder
from blockyard.datamodules.base import DataError, DataModule
from blockyard.datamodules.cifar import CIFAR10, CIFAR100
from blockyard.datamodules.cityscapes import Cityscapes
from blockyard.datamodules.decoding import DecodingError
from blockyard.datamodules.digits import Digits
from blockyard.datamodules.esc50 import ESC50
from blockyard.datamodules.hmdb51 import HMDB51
from blockyard.datamodules.human_actions import HumanActions
from blockyard.datamodules.ilids_vid import ILIDSVID
from blockyard.datamodules.image_folder import ImageFolder
from blockyard.datamodules.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.market1501 import Market1501
from blockyard.datamodules.mars import MARS
from blockyard.datamodules.msmt17 import MSMT17
from blockyard.datamodules.pascal_voc import PascalVOC
from blockyard.datamodules.prid2011 import PRID2011
from blockyard.datamodules.reid import PersonDataModule
from blockyard.datamodules.scenes import Scenes
from blockyard.datamodules.segmentation import SegmentationDataModule
from blockyard.datamodules.speech_commands import SpeechCommands
from blockyard.datamodules.spoken_commands import SpokenCommands
from blockyard.datamodules.ucf101 import UCF101
from blockyard.datamodules.urbansound8k import UrbanSound8K
from blockyard.datamodules.video_csv import VideoCSV
from blockyard.datamodules.video_folder import VideoFolder
from blockyard.datamodules.videos import VideoDataModule
from blockyard.datamodules.walkers import Walkers, WalkersVideo

__all__ = [
    "ADE20K",
    "CIFAR10",
    "CIFAR100",
    "ESC50",
    "HMDB51",
    "ILIDSVID",
    "MARS",
    "MSMT17",
    "PRID2011",
    "UCF101",
    "AudioCSV",
    "AudioDataModule",
    "AudioFolder",
    "Cityscapes",
    "DataError",
    "DataModule",
    "DecodingError",
    "Digits",
    "HumanActions",
    "ImageFolder",
    "ImageMaskFolder",
    "Market1501",
    "PascalVOC",
    "PersonDataModule",
    "Scenes",
    "SegmentationDataModule",
    "SpeechCommands",
    "SpokenCommands",
    "UrbanSound8K",
    "VideoCSV",
    "VideoDataModule",
    "VideoFolder",
    "Walkers",
    "WalkersVideo",
    "unless told not to; this package is the only",
]
