"""Data modules: one class a data set, read in its published on-disk layout."""

import os

# albumentations asks a server for its newest version on import unless told not to; this package is the only
# one that imports it, and nothing in this package can be imported before this line.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from blockyard.datamodules.base import DataError, DataModule
from blockyard.datamodules.cifar import CIFAR10, CIFAR100
from blockyard.datamodules.decoding import DecodingError
from blockyard.datamodules.digits import Digits
from blockyard.datamodules.hmdb51 import HMDB51
from blockyard.datamodules.human_actions import HumanActions
from blockyard.datamodules.image_folder import ImageFolder
from blockyard.datamodules.ucf101 import UCF101
from blockyard.datamodules.video_csv import VideoCSV
from blockyard.datamodules.video_folder import VideoFolder
from blockyard.datamodules.videos import VideoDataModule

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "HMDB51",
    "UCF101",
    "DataError",
    "DataModule",
    "DecodingError",
    "Digits",
    "HumanActions",
    "ImageFolder",
    "VideoCSV",
    "VideoDataModule",
    "VideoFolder",
]
