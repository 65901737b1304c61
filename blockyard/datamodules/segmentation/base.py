"""What every data module of pictures with masks shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import albumentations as A
import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from blockyard.datamodules.base import STAGES
from blockyard.datamodules.images import ImageFiles
from blockyard.datamodules.loading import PADDING, EvaluationSampler
from blockyard.datamodules.picture_options import PictureOptions
from blockyard.datamodules.picture_survey import survey_pictures
from blockyard.datamodules.segmentation.listing import Listing, hold_out_evenly
from blockyard.datamodules.segmentation.mask_transforms import CategoryCrop, Mirror, Rescale, photometric_distortion
from blockyard.datamodules.segmentation.masked_pictures import Crops, WholePictures
from blockyard.datamodules.segmentation.masks import IGNORE, Colour, MaskFiles, voc_palette
from blockyard.datamodules.segmentation.survey import SAMPLE, judge, survey
from blockyard.datamodules.segmentation.tiles import TiledPictures, checked_overlap
from blockyard.datamodules.suggesting import Choice, Suggestion, batch_for, spread
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.progress import at_work


class SegmentationDataModule(PictureOptions):
    """Pictures with a class index a pixel; a subclass lists the files in :meth:`list_files`.

    Training pictures are resized by a random factor in ``scale`` (on top of ``resize``), cropped to ``size`` so that,
    if ten tries suffice, no class covers more than ``largest_share``, flipped, distorted in colour, and padded with the
    mean colour at the bottom and on the right. All others are whole: resized to fit ``resize`` and otherwise as they
    are, and their masks are never resized. Pictures with an orientation tag are turned upright, and so is what is
    predicted; see :meth:`PicturesWithMasks.read` for their masks.

    Batches for training: ``input`` float ``(B, 3, h, w)``, ``target`` long ``(B, h, w)``. All others: ``input`` a list
    of B float ``(3, h_i, w_i)`` and ``target`` a list of B long ``(H_i, W_i)``, the size of the file; in ``predict``
    that size, long ``(B, 2)``, as ``size``. A label of 255 is to be ignored: borders, what is not labelled, padding.

    Args:
        size: Height and width of a training crop.
        resize: Longest and shortest side that pictures are resized to fit, in proportion; None keeps them as they are.
        scale: Smallest and largest random factor in training; (1, 1) for none.
        largest_share: Largest share of a crop that one class may cover; 1 takes any crop.
        flip: Whether training pictures are flipped horizontally at random.
        photometric: Whether the colours of training pictures are changed at random.
        val_fraction: Share of the training pictures held out for validation, by a fixed rule; 0 trains on all.
        predict_folder: A picture for ``predict``, a folder with them at any depth, or several of either.
        predict_tile: Height and width of the tiles in which ``predict`` reads pictures and writes masks, so that
            memory does not grow with the picture; None predicts whole ones.
        predict_overlap: Rows and columns that neighbouring tiles have in common, in the middle of which labels are
            cut; None means an eighth of a tile's shorter side. Both are best multiples of the largest stride.
        batch_size: Global batch size.
        options: Those of :class:`~blockyard.datamodules.picture_options.PictureOptions`.

    Raises:
        ValueError: If a number is out of range.
    """

    samples_are: ClassVar[str] = "pictures with masks"
    ignore_index: ClassVar[int] = IGNORE
    hint: ClassVar[str] = ""
    """What to say after a complaint of a value that may not occur in a mask."""
    remedy: ClassVar[str] = ""
    """What to say after a complaint that all but one class is ignored."""

    def __init__(
        self,
        size: tuple[int, int] = (512, 512),
        resize: tuple[int, int] | None = None,
        scale: tuple[float, float] = (0.5, 2.0),
        largest_share: float = 0.75,
        flip: bool = True,
        photometric: bool = True,
        val_fraction: float = 0.1,
        predict_folder: str | list[str] | None = None,
        batch_size: int = 16,
        predict_tile: tuple[int, int] | None = None,
        predict_overlap: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        if min(size) < 1 or (resize is not None and min(resize) < 1):
            raise ValueError(f"size={size} and resize={resize} must be positive")
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale={scale} must be the smallest and the largest factor, both positive")
        if not 0 <= val_fraction < 1 or not 0 < largest_share <= 1:
            raise ValueError(f"val_fraction={val_fraction} must be below 1, largest_share={largest_share} at most 1")
        self.size, self.resize, self.scale = size, resize, scale
        self.largest_share, self.flip, self.photometric = largest_share, flip, photometric
        self.val_fraction = val_fraction
        self.predict_folder = predict_folder
        if predict_tile is not None and resize is not None:
            raise ValueError(f"predict_tile={predict_tile}: pictures in tiles keep their size, but resize={resize}")
        self.predict_tile, self.predict_overlap = predict_tile, checked_overlap(predict_tile, predict_overlap)
        self._surveyed: set[str] = set()

    @abstractmethod
    def list_files(self, split: str) -> Listing:
        """List the files of a split; of ``predict`` those for when there is no ``predict_folder``.

        Raises:
            DataError: If something is missing or damaged.
        """

    def list_new(self, places: str | Path | list[str]) -> Listing:
        """List the pictures that ``predict`` is given."""
        return Listing.of_new(places)

    @property
    @abstractmethod
    def labels(self) -> Mapping[int, int]:
        """From the values that may occur in a mask file to labels, 0 to K - 1 and 255."""

    def labels_in(self, split: str) -> Mapping[int, int]:
        """The same for one split, where splits differ."""
        return self.labels

    @property
    def colours(self) -> Mapping[Colour, int] | None:
        """From the colours that may occur in a mask file to labels, where colours say the classes."""
        return None

    @property
    def palette(self) -> list[Colour]:
        """A colour for each class."""
        return voc_palette(self.num_classes)

    def read_vocabulary(self) -> Vocabulary:
        """Names, colours and values in mask files of the classes."""
        return Vocabulary(self.num_classes, tuple(self.classes), tuple(self.palette), dict(self.labels))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, h, w)`` of a training crop."""
        return (3, *self.size)

    @property
    def padding(self) -> Any:
        """What stands beyond the edge of a training crop: the mean colour."""
        return [round(255 * value) for value in self.mean]

    def load(self, split: str) -> WholePictures | Crops:
        """List a split; the pictures themselves are read when asked for."""
        if split == "predict":
            files = self.list_new(self.predict_folder) if self.predict_folder else self.list_files(split)
        else:
            files = self.list_files(split)
        images, masks = self.picture_files(files.images), None
        if split != "predict":
            masks = self.mask_files(files, split, images)
        elif self.predict_tile is not None:
            layout = (self.predict_tile, self.predict_overlap)
            return TiledPictures(images, files.names, *layout, self.mean, self.std)
        kind, transform = (Crops if split == "train" else WholePictures), self._transform(split == "train")
        return kind(images, masks, files.names, transform, self.mean, self.std)

    def picture_files(self, paths: Sequence[Path]) -> ImageFiles:
        """Files of pictures, decoded when asked for."""
        return ImageFiles(paths, self.bits)

    def mask_files(self, files: Listing, split: str, pictures: ImageFiles) -> MaskFiles:
        """The masks of a split as labels, decoded when asked for; ``pictures`` are those that they lie on."""
        return MaskFiles(files.masks, self.labels_in(split), self.hint, self.colours)

    def predict_dataloader(self) -> DataLoader:
        """In order, each sample once over all ranks, without targets; all tiles of a picture on one rank."""
        split, (rank, world) = self.split("predict"), self._place()
        if split.owner is None:
            return super().predict_dataloader()
        pictures = range(len(split.names))
        parts = [[item for one in pictures[start::world] for item in split.items_of(one)] for start in range(world)]
        dealt = np.array([*zip_longest(*parts, fillvalue=PADDING)]).ravel()
        sampler = EvaluationSampler(len(dealt), rank, world)
        sampler.rows = dealt
        return self._loader("predict", sampler)

    def setup(self, stage: str) -> None:
        """Read what a stage needs, and look at its masks.

        Raises:
            DataError: If files are missing, or masks leave nothing to learn or to score.
        """
        super().setup(stage)
        for split in STAGES[stage]:
            if split not in self._surveyed:
                self._surveyed.add(split)
                if said := self._judge(split, SAMPLE):
                    rank_zero_warn(said)

    def remarks(self, split: str) -> Iterator[str]:
        """Classes that no pixel of a split shows, all its masks read."""
        if said := self._judge(split, None):
            yield said

    def _judge(self, split: str, most: int | None) -> str | None:
        masks = self.split(split).masks  # type: ignore[attr-defined]
        if masks is None or not len(masks):
            return None
        ignored = [value for value, label in self.labels_in(split).items() if label == IGNORE]
        with at_work(f"looking at the masks of {split}"):
            found = survey(masks, self.num_classes, most)
        return judge(found, split, self.classes, ignored, self.remedy)

    def pixel_shares(self) -> list[float]:
        """Share of each of the K classes of the labelled pixels of training masks, looked at at even distances.

        Raises:
            DataError: If one can't be read.
        """
        files = self.list_files("train")
        masks = self.mask_files(files, "train", self.picture_files(files.images))
        counts = np.zeros(self.num_classes)
        for row in spread(range(len(masks))):
            counts += np.bincount(masks[row].ravel(), minlength=IGNORE + 1)[: self.num_classes]
        return [float(share) for share in counts / max(1, counts.sum())]

    def pixel_counts(self) -> NDArray[np.int64]:
        """Pixels of this process's part of the training masks, each read once, ``(2, K)``.

        First those of each class, then the labelled ones of the masks that show it.

        Raises:
            DataError: If a mask can't be read.
        """
        masks: Any = self.split("train").masks  # type: ignore[attr-defined]
        rank, world = self._place()
        counts = np.zeros((2, self.num_classes), np.int64)
        with at_work("counting the pixels of the classes"):
            for position in range(rank, len(masks), world):
                found = np.bincount(masks[position].ravel(), minlength=IGNORE + 1)[: self.num_classes]
                counts += [found, np.where(found > 0, found.sum(), 0)]
        return counts

    def suggest(self, weights: bool) -> Suggestion:
        """Crops and colours that the training pictures speak for."""
        files = self.list_files("train")
        found, shares = survey_pictures(self.picture_files(files.images)), self.pixel_shares()
        largest = 512 if weights else 256
        side = max(32, min(largest, -(-found.short // 32) * 32))
        most, common = max(shares), self.classes[shares.index(max(shares))]
        half = most > 0.5
        scale = Choice([0.75, 1.5], "objects are met a little smaller and larger than they are")
        if found.grey and found.alike:
            scale = Choice([1.0, 1.0], "grey and of one size, as an instrument's: its magnification stays the same")
        options = {
            "size": Choice([side, side], f"training crops of {found.short} pixels, up to {largest}, in steps of 32"),
            "scale": scale,
            "largest_share": Choice(
                1.0 if half else 0.75,
                f"{common} covers {most:.0%} of the pixels" + (", as it may of a crop" if half else ": less of a crop"),
            ),
            "flip": found.flip(self.classes, masks=True),
            "photometric": Choice(not found.grey, "grey pictures have no hue" if found.grey else "light varies"),
            **found.normalisation(weights),
            "batch_size": batch_for(len(files.images), 8),
        }
        said = f"{len(files.images):,} pictures with masks to train on, {self.num_classes} classes; {found}"
        return Suggestion(said, options)

    def hold_out(self, files: Listing, split: str) -> Listing:
        """What stays of the training pictures for ``train``, or what is held out for ``val``."""
        stay, held = hold_out_evenly(len(files.images), self.val_fraction)
        return files.take(held if split == "val" else stay)

    def _transform(self, training: bool) -> A.Compose | None:
        if not training:
            return A.Compose([Rescale(self.resize)]) if self.resize else None
        height, width = self.size
        return A.Compose(
            [
                Rescale(self.resize, self.scale),
                CategoryCrop((height, width), self.largest_share),
                *([Mirror(p=0.5)] if self.flip else []),
                *(photometric_distortion() if self.photometric else []),
                A.PadIfNeeded(height, width, position="top_left", fill=self.padding, fill_mask=IGNORE, p=1.0),
            ]
        )
