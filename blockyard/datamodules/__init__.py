"""Data modules: one class a data set, read in its published on-disk layout."""

import os

# albumentations asks a server for its newest version on import unless told not to; this package is the only
# one that imports it, and nothing in this package can be imported before this line.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from blockyard.datamodules.base import DataError, DataModule
from blockyard.datamodules.cifar import CIFAR10, CIFAR100
from blockyard.datamodules.digits import Digits
from blockyard.datamodules.image_folder import ImageFolder

__all__ = ["CIFAR10", "CIFAR100", "DataError", "DataModule", "Digits", "ImageFolder"]
