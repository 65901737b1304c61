"""What every data module of person re-identification shares."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import albumentations as A
import numpy as np

from blockyard.datamodules.loading import TrainSampler
from blockyard.datamodules.picture_options import PictureOptions
from blockyard.datamodules.reid.compared_folders import compare_folders, find_stills, find_tracklets
from blockyard.datamodules.reid.identity_sampler import IdentitySampler
from blockyard.datamodules.reid.pedestrians import Clips, Pedestrians, Pool, RandomClip, TrainingPedestrians
from blockyard.datamodules.reid.sightings import (
    DISTRACTOR,
    JUNK,
    Positions,
    Retrieval,
    Sightings,
    hold_out_identities,
    one_query_per_camera,
)
from blockyard.datamodules.reid.tracklet_sampling import (
    dense_clips,
    evenly,
    first_of_chunks,
    random_clip,
    random_in_chunks,
)
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.mistakes import DataError, nearest

ERASED = (0.02, 0.4)
"""Share of a picture that random erasing covers (Zhong et al., AAAI 2020)."""


class PersonDataModule(PictureOptions):
    """People seen by several cameras; a subclass lists them in :meth:`training` and :meth:`testing`.

    Batches also hold ``camera``, long ``(B,)``, from 0. In training ``target`` is a class, the place of the identity
    among the sorted ones; elsewhere it is the identity as the data set numbers it. Splits for testing are a
    :class:`~blockyard.datamodules.reid.pedestrians.Pool`, which says what is ``query`` and what is ``gallery``. For
    validation the last ``val_identities`` training identities that two cameras saw are held out; each one's first
    sighting in each camera is a query.

    Training pictures are resized, flipped at random, padded with black, cropped at random, and erased in part at
    random; all frames of a clip alike.

    Args:
        size: Height and width of the input.
        flip: Whether training pictures are flipped horizontally at random.
        pad: Pixels of padding before the random crop.
        erase: Share of the training pictures of which a random part is erased.
        instances: Sightings of each identity in a batch, which then holds ``batch_size / instances`` identities; None
            shuffles without regard to identity.
        val_identities: Training identities held out for validation; None takes a tenth of them, 0 trains on all.
        query_folder: Pictures of who is looked for, in ``predict``: a file, a folder, or several of either; of
            tracklets one folder, a sub-folder each.
        gallery_folder: Pictures that are searched, likewise.
        options: Those of :class:`~blockyard.datamodules.picture_options.PictureOptions`.

    Raises:
        ValueError: If a number is out of range.
    """

    samples_are: ClassVar[str] = "pictures of people"
    evaluation_options: ClassVar[tuple[str, ...]] = ()
    """Options that change nothing but how a trained network is tested."""
    tracklets: bool
    """Whether a sighting has several frames."""
    numbered_apart: ClassVar[bool] = False
    """Whether training and test identities are numbered each from 0, so that equal numbers are different people."""

    def __init__(
        self,
        size: tuple[int, int] = (256, 128),
        flip: bool = True,
        pad: int = 10,
        erase: float = 0.5,
        instances: int | None = 4,
        val_identities: int | None = None,
        query_folder: str | list[str] | None = None,
        gallery_folder: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if min(size) < 1 or pad < 0 or not 0 <= erase <= 1:
            raise ValueError(f"size={size} must be positive, pad={pad} not negative and erase={erase} from 0 to 1")
        if instances is not None and (instances < 1 or self.batch_size % instances):
            raise ValueError(f"instances={instances} must be positive and divide batch_size={self.batch_size}")
        if val_identities is not None and (val_identities < 0 or val_identities == 1):
            raise ValueError(f"val_identities={val_identities} must be 0 or at least 2, to be told apart")
        self.size = (size[0], size[1])
        self.flip, self.pad, self.erase = flip, pad, erase
        self.instances = instances
        self.val_identities = val_identities
        self.query_folder = query_folder
        self.gallery_folder = gallery_folder

    @abstractmethod
    def training(self) -> Sightings:
        """List everything that the data set has for training.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    @abstractmethod
    def testing(self) -> Retrieval:
        """List the test.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    @abstractmethod
    def random_clip(self) -> RandomClip:
        """Which frames of a sighting to train on."""

    @abstractmethod
    def clips(self) -> Clips:
        """Which frames of a sighting to test on."""

    def divide(self, pool: Sightings) -> tuple[Positions, Positions]:
        """Queries and gallery among the people held out for validation."""
        return one_query_per_camera(pool)

    @cached_property
    def _held_out(self) -> tuple[Sightings, Sightings]:
        """Sightings to train on and to validate on."""
        return hold_out_identities(self.training(), self.val_identities)

    @property
    def classes(self) -> list[str]:
        """The identities trained on, as the data set numbers them."""
        return [str(identity) for identity in np.unique(self._held_out[0].identities)]

    def read_vocabulary(self) -> Vocabulary:
        """How many identities there are to train on; their numbers say nothing of other people."""
        return Vocabulary(self.num_classes)

    def load(self, split: str) -> Pedestrians:
        """List a split; the pictures themselves are read when asked for."""
        options: dict[str, Any] = {"size": self.size, "mean": self.mean, "std": self.std, "tracklets": self.tracklets}
        options["bits"] = self.bits
        if split == "train":
            kept = self._held_out[0]
            return TrainingPedestrians(self.random_clip(), sightings=kept, transform=self._augmentation(), **options)
        if split == "predict":
            find = find_tracklets if self.tracklets else find_stills
            retrieval = compare_folders(self.query_folder, self.gallery_folder, find)
        else:
            retrieval = self._validation() if split == "val" else self._unseen(self.testing())
        return Pool(retrieval, self.clips(), split != "predict", **options)

    def _validation(self) -> Retrieval:
        held = self._held_out[1]
        retrieval = Retrieval(held, *self.divide(held), "validation")
        return retrieval.check(f"the {len(held)} sightings held out for validation") if len(held) else retrieval

    def _unseen(self, test: Retrieval) -> Retrieval:
        if not self.numbered_apart:
            trained = np.concatenate([part.identities for part in self._held_out])
            both = set(trained.tolist()) & set(test.pool.identities.tolist()) - {DISTRACTOR, JUNK}
            if both:
                raise DataError(
                    f"{type(self).__name__}: {len(both)} identities, {min(both)} the first, are in training and in test"
                )
        return test

    def _augmentation(self) -> A.Compose:
        fill = tuple(round(255 * mean) for mean in self.mean)
        steps: list[Any] = [A.HorizontalFlip(p=0.5)] if self.flip else []
        if self.pad:
            steps += [A.Pad(padding=self.pad, fill=0, p=1.0), A.RandomCrop(*self.size)]
        if self.erase:
            steps.append(A.Erasing(scale=ERASED, ratio=(0.3, 1 / 0.3), fill=fill, p=self.erase))
        return A.Compose(steps)

    def _train_sampler(self, samples: int, epoch: int, start: int) -> TrainSampler:
        split = self.split("train")
        if self.instances is None or not isinstance(split, TrainingPedestrians):
            return super()._train_sampler(samples, epoch, start)
        place = self._place()
        return IdentitySampler(
            split.identities, self.instances, self.batch_size, self.seed, *place, epoch=epoch, start=start
        )

    def _order(self, samples: int) -> dict[str, int]:
        return {**super()._order(samples), "instances": self.instances or 0}


class PictureDataModule(PersonDataModule):
    """Single pictures of people; options are those of :class:`PersonDataModule`."""

    tracklets = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, H, W)``."""
        return (3, *self.size)

    def random_clip(self) -> RandomClip:
        """The picture."""
        return partial(random_in_chunks, frames=1)

    def clips(self) -> Clips:
        """The picture."""
        return partial(first_of_chunks, frames=1)


class TrackletDataModule(PersonDataModule):
    """Tracklets: the frames in which one camera followed one person.

    Training takes one random clip of each tracklet an epoch. A tracklet shorter than a clip repeats its last frame.

    Args:
        frames: Frames T of a clip.
        stride: Frames from one of a clip to the next; fewer where a tracklet is too short.
        train_sampling: ``clip`` takes frames at that stride from a random start, ``chunks`` a random one from each of T
            equal chunks of the tracklet.
        sampling: In a test, ``dense`` takes all clips, so that every frame counts; ``restricted`` the first frame of
            each of T equal chunks; ``evenly`` frames at equal distances, cutting off the rest.
        options: Those of :class:`PersonDataModule`.

    Raises:
        ValueError: If a number is out of range or a sampling unknown.
    """

    evaluation_options: ClassVar[tuple[str, ...]] = ("sampling",)
    tracklets = True

    def __init__(
        self,
        frames: int = 4,
        stride: int = 8,
        train_sampling: Literal["clip", "chunks"] = "clip",
        sampling: Literal["dense", "restricted", "evenly"] = "dense",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if frames < 1 or stride < 1:
            raise ValueError(f"frames={frames} and stride={stride} must be positive")
        for value, allowed in ((train_sampling, ("clip", "chunks")), (sampling, ("dense", "restricted", "evenly"))):
            if value not in allowed:
                raise ValueError(f"no sampling {value!r}; {nearest(value, allowed)}")
        self.frames, self.stride = frames, stride
        self.train_sampling, self.sampling = train_sampling, sampling

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, frames, H, W)``."""
        return (3, self.frames, *self.size)

    def random_clip(self) -> RandomClip:
        """Frames of a training clip."""
        if self.train_sampling == "chunks":
            return partial(random_in_chunks, frames=self.frames)
        return partial(random_clip, frames=self.frames, stride=self.stride)

    def clips(self) -> Clips:
        """Frames of the clips of a test."""
        if self.sampling == "dense":
            return partial(dense_clips, frames=self.frames, stride=self.stride)
        return partial(first_of_chunks if self.sampling == "restricted" else evenly, frames=self.frames)
