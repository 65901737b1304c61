"""Data modules: one class a data set, read in its published on-disk layout."""

import os

# albumentations asks a server for its newest version on import unless told not to; this package is the only
# one that imports it, and nothing in this package can be imported before this line.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from blockyard.datamodules.audio.audio_csv import AudioCSV
from blockyard.datamodules.audio.audio_folder import AudioFolder
from blockyard.datamodules.audio.base import AudioDataModule
from blockyard.datamodules.audio.esc50 import ESC50
from blockyard.datamodules.audio.speech_commands import SpeechCommands
from blockyard.datamodules.audio.urbansound8k import UrbanSound8K
from blockyard.datamodules.base import DataModule
from blockyard.datamodules.detection.base import DetectionDataModule
from blockyard.datamodules.detection.coco import COCODetection
from blockyard.datamodules.detection.voc import VOCDetection
from blockyard.datamodules.image.base import ImageDataModule
from blockyard.datamodules.image.cifar import CIFAR10, CIFAR100
from blockyard.datamodules.image.cub200 import CUB200
from blockyard.datamodules.image.digits import Digits
from blockyard.datamodules.image.image_folder import ImageFolder
from blockyard.datamodules.image.image_list import ImageList
from blockyard.datamodules.image.imagenet import ImageNet
from blockyard.datamodules.reid.base import PersonDataModule
from blockyard.datamodules.reid.ilids_vid import ILIDSVID
from blockyard.datamodules.reid.market1501 import Market1501
from blockyard.datamodules.reid.mars import MARS
from blockyard.datamodules.reid.msmt17 import MSMT17
from blockyard.datamodules.reid.person_csv import PersonCSV
from blockyard.datamodules.reid.person_folder import PersonFolder
from blockyard.datamodules.reid.prid2011 import PRID2011
from blockyard.datamodules.segmentation.ade20k import ADE20K
from blockyard.datamodules.segmentation.base import SegmentationDataModule
from blockyard.datamodules.segmentation.cityscapes import Cityscapes
from blockyard.datamodules.segmentation.geotiff_folder import GeoTIFFFolder
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.segmentation.pascal_voc import PascalVOC
from blockyard.datamodules.several import MultiData, members_of
from blockyard.datamodules.signals.base import SignalDataModule
from blockyard.datamodules.signals.drowsiness_eeg import DrowsinessEEG
from blockyard.datamodules.signals.signal_csv import SignalCSV
from blockyard.datamodules.signals.signal_folder import SignalFolder
from blockyard.datamodules.video.base import VideoDataModule
from blockyard.datamodules.video.hmdb51 import HMDB51
from blockyard.datamodules.video.ucf101 import UCF101
from blockyard.datamodules.video.video_csv import VideoCSV
from blockyard.datamodules.video.video_folder import VideoFolder
from blockyard.datamodules.video.windowed_pictures import WindowedPictures
from blockyard.media.decoding import DecodingError
from blockyard.mistakes import DataError

__all__ = [
    "ADE20K",
    "CIFAR10",
    "CIFAR100",
    "CUB200",
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
    "COCODetection",
    "Cityscapes",
    "DataError",
    "DataModule",
    "DecodingError",
    "DetectionDataModule",
    "Digits",
    "DrowsinessEEG",
    "GeoTIFFFolder",
    "ImageDataModule",
    "ImageFolder",
    "ImageList",
    "ImageMaskFolder",
    "ImageNet",
    "Market1501",
    "MultiData",
    "PascalVOC",
    "PersonCSV",
    "PersonDataModule",
    "PersonFolder",
    "SegmentationDataModule",
    "SignalCSV",
    "SignalDataModule",
    "SignalFolder",
    "SpeechCommands",
    "UrbanSound8K",
    "VOCDetection",
    "VideoCSV",
    "VideoDataModule",
    "VideoFolder",
    "WindowedPictures",
    "members_of",
]
