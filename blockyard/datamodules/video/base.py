"""What every data module of videos shares."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import albumentations as A
import cv2
import numpy as np

from blockyard.datamodules.images import IMAGENET_MEAN, IMAGENET_STD
from blockyard.datamodules.labelled import LabelledDataModule
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.picture_survey import survey_pictures
from blockyard.datamodules.suggesting import Choice, Suggestion, batch_for, counted, spread
from blockyard.datamodules.video.clip_sampling import ClipShape
from blockyard.datamodules.video.clips import Clips
from blockyard.datamodules.video.listing import VIDEOS
from blockyard.media.decoding import Frames, Video

SURVEYED = 50
"""Videos that are opened to see what they are like."""
LARGEST = 112
"""Pixels of a side that clips are suggested with, where a network starts from nothing."""


class ShortSide(A.SmallestMaxSize):
    """albumentations' transform frame by frame: it would fold the frames into channels, at four times the time."""

    def apply_to_images(self, images: Frames, *args: Any, **params: Any) -> Frames:
        """Resize the frames of a clip ``(T, H, W, 3)``."""
        return np.stack([self.apply(image, *args, **params) for image in images])


class Mirror(A.HorizontalFlip):
    """albumentations' flip frame by frame: it would copy the clip backwards in memory, at several times the time."""

    def apply_to_images(self, images: Frames, *args: Any, **params: Any) -> Frames:
        """Flip the frames of a clip ``(T, H, W, 3)``."""
        return np.stack([cv2.flip(image, 1) for image in images])


class VideoDataModule(LabelledDataModule):
    """Clips of videos, decoded when asked for; a subclass lists the files in :meth:`videos`.

    Training takes one random clip of each video an epoch; its short side is resized to a random length between
    ``resize`` and ``jitter`` times that, then it is cropped and flipped at random, or, with ``scale``, cropped to a
    random share of its area: the same for all its frames. Validation takes the middle clip and crop. Test and
    ``predict`` take ``clips`` × ``crops`` views of each video, to be averaged. A video shorter than a clip is looped.
    Resizing is bilinear, as in the published recipes; videos several times as large as ``resize`` had better be made
    smaller beforehand, which also makes them faster to read.

    Batches also hold ``valid``, bool ``(B,)``: False for views of a video that can't be decoded, whose input is zero.
    In training such a video is replaced by another one; ``replaced`` counts how often, by name, and each is warned of
    once.

    Args:
        frames: Frames T of a clip.
        stride: Frames of the video from one of the clip to the next.
        fps: Rate at which ``stride`` counts, in frames a second; None counts the frames of each video.
        sampling: ``dense`` takes frames in a row, ``segments`` one from each of T equal parts of the video.
        size: Height and width of the input.
        resize: Short side before the crop; None means ``size / 0.875``.
        jitter: Largest short side in training, in units of ``resize``.
        scale: Smallest and largest share of the area that a training crop covers; None crops as told above.
        flip: Whether training clips are flipped horizontally at random.
        clips: Clips of a video in a test.
        crops: 1, in the middle, or 3 along the long side, in a test.
        predict_path: A video for ``predict``, a folder with videos at any depth, or several of either.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
        batch_size: Global batch size, in views.
        options: Those of :class:`~blockyard.datamodules.labelled.LabelledDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    samples_are: ClassVar[str] = "videos with a class"
    evaluation_options = ("clips", "crops")

    def __init__(
        self,
        frames: int = 16,
        stride: int = 2,
        fps: float | None = None,
        sampling: Literal["dense", "segments"] = "dense",
        size: int = 112,
        resize: int | None = None,
        jitter: float = 1.25,
        scale: tuple[float, float] | None = None,
        flip: bool = True,
        clips: int = 10,
        crops: Literal[1, 3] = 1,
        predict_path: str | list[str] | None = None,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        batch_size: int = 8,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        self.shape = ClipShape(frames, stride, fps, sampling)
        self.size = size
        self.resize = resize or round(size / 0.875)
        if size < 1 or self.resize < size or jitter < 1:
            raise ValueError(
                f"size={size} must be positive, resize={resize} not below it and jitter={jitter} not below 1"
            )
        if clips < 1 or crops not in (1, 3):
            raise ValueError(f"clips={clips} must be positive and crops={crops} 1 or 3")
        self.jitter, self.scale, self.flip = jitter, scale, flip
        self.clips, self.crops = clips, crops
        self.predict_path = predict_path
        self.mean, self.std = mean, std

    @abstractmethod
    def videos(self, split: str) -> Listing:
        """List the videos of a split; of ``predict`` those for when there is no ``predict_path``.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, frames, size, size)``."""
        return (3, self.shape.frames, self.size, self.size)

    def load(self, split: str) -> Clips:
        """List a split; the videos themselves are opened when asked for."""
        listing = VIDEOS.find_new(self.predict_path) if split == "predict" and self.predict_path else self.videos(split)
        many = split in ("test", "predict")
        return Clips(
            listing.paths,
            None if split == "predict" else listing.targets,
            listing.names,
            self.shape,
            self._transform(split == "train"),
            self.size,
            split == "train",
            self.clips if many else 1,
            self.crops if many else 1,
            self.mean,
            self.std,
        )

    def suggest(self, weights: bool) -> Suggestion:
        """Clips and sizes that the training videos speak for."""
        listing = self.videos("train")
        middles, lengths = [], []
        for path in spread(listing.paths, SURVEYED):
            with Video(path) as video:
                lengths.append(video.frames)
                middles.append(video.read([video.frames // 2])[0])
        found, frames, median = survey_pictures(middles), 8, int(np.median(lengths))
        stride = max(1, min(8, median // frames))
        side, why = found.side(weights), "clips cost as many pictures as they have frames"
        size = side if weights else Choice(min(side.value, LARGEST), f"{side.reason}; {why}")
        options = {
            "frames": Choice(frames, why),
            "stride": Choice(stride, f"{frames} frames then span {frames * stride} of a median of {median}"),
            "size": size,
            "resize": Choice(round(size.value / 0.875), "a little more than size, for random crops"),
            "flip": found.flip(self.classes),
            "clips": Choice(3, "a test averages three clips of each video, not ten: a third of the time"),
            **found.normalisation(weights),
            "batch_size": batch_for(len(listing.names), 16),
        }
        said = f"{len(listing.names):,} videos to train on, {counted(self.class_counts(), 'videos')}; {found}"
        return Suggestion(f"{said}, median {median} frames", options)

    def _transform(self, training: bool) -> A.Compose:
        if not training:
            return A.Compose([ShortSide(self.resize)])
        flip = [Mirror(p=0.5)] if self.flip else []
        if self.scale is not None:
            return A.Compose([A.RandomResizedCrop((self.size, self.size), self.scale), *flip])
        sides = list(range(self.resize, round(self.resize * self.jitter) + 1))
        return A.Compose([ShortSide(sides), A.RandomCrop(self.size, self.size), *flip])
