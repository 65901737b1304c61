"""Any data set of videos with one folder a class."""

from __future__ import annotations

from blockyard.datamodules.class_folders import ClassFolders
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.video.base import VideoDataModule
from blockyard.datamodules.video.listing import VIDEOS


class VideoFolder(ClassFolders, VideoDataModule):
    """Videos in ``root/{train,val,test}/<class>/``, of any size, length and rate.

    Give a ``val`` folder if clips are cut from the same recording: by default the last files of each class are held
    out, whatever they show. Arguments are those of :class:`~blockyard.datamodules.class_folders.ClassFolders` and of
    :class:`~blockyard.datamodules.video.base.VideoDataModule`; ``predict_path`` None means ``root/predict``.
    """

    laid_out = "DIR/train/<class>/*.mp4"
    kind = VIDEOS

    def videos(self, split: str) -> Listing:
        """The videos of a split's folder, class by class."""
        return self.files_of(split)
