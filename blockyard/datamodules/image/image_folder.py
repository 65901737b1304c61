"""Any classification data set with one folder a class."""

from __future__ import annotations

from blockyard.datamodules.class_folders import ClassFolders
from blockyard.datamodules.image.base import ImageDataModule
from blockyard.datamodules.images import PICTURES
from blockyard.datamodules.listing import Listing


class ImageFolder(ClassFolders, ImageDataModule):
    """Pictures in ``root/{train,val,test}/<class>/``, of any size and of most kinds.

    Arguments are those of :class:`~blockyard.datamodules.class_folders.ClassFolders` and of
    :class:`~blockyard.datamodules.image.base.ImageDataModule`; ``predict_folder`` None means ``root/predict``.
    """

    laid_out = "DIR/train/<class>/*.jpg"
    kind = PICTURES

    def pictures(self, split: str) -> Listing:
        """The pictures of a split's folder, class by class."""
        return self.files_of(split)
