"""Any data set of series with one folder a class."""

from __future__ import annotations

from blockyard.datamodules.class_folders import ClassFolders
from blockyard.datamodules.signals.base import SignalDataModule
from blockyard.datamodules.signals.recorded import SERIES, Recordings


class SignalFolder(ClassFolders, SignalDataModule):
    """Recordings in ``root/{train,val,test}/<class>/``, of any length and rate.

    Windows of a recording are all in one split. Give a ``val`` folder if several recordings are of one person: by
    default the last files of each class are held out, whoever they are of; :class:`SignalCSV` splits by person.
    Arguments are those of :class:`~blockyard.datamodules.class_folders.ClassFolders` and of
    :class:`~blockyard.datamodules.signals.base.SignalDataModule`; ``predict_folder`` None means ``root/predict``.
    """

    laid_out = "DIR/train/<class>/*.npz"
    kind = SERIES

    def recordings(self, split: str) -> Recordings:
        """The recordings of a split's folder, class by class."""
        found = self.files_of(split)
        return Recordings(found.paths, found.names, found.targets)
