"""Object detection: boxes around the objects of a picture, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn

from blockyard.backbones import Backbone
from blockyard.datamodules import DataModule
from blockyard.datamodules.detection.base import DetectionDataModule
from blockyard.datamodules.suggesting import Choice
from blockyard.heads import BridgedHead, Neck
from blockyard.objectives import Default
from blockyard.tasks.base import Task
from blockyard.tasks.detection.detector import Detector
from blockyard.tasks.detection.objective import DetectorLosses
from blockyard.tasks.detection.report import FoundBoxes
from blockyard.tasks.detection.scores import Found, mean_precisions, picture_precision, require
from blockyard.tasks.detection.writer import BoxesCSV
from blockyard.tasks.new_samples import of_all_processes, only_valid

Batch = dict[str, Any]


SMALL = 16
"""Pixels across a box that is two positions of a map of stride 8."""


class ObjectDetection(Task):
    """Finds objects in pictures.

    ``self.network`` is a plugged :class:`~blockyard.tasks.detection.detector.Detector`, whose modules have
    torchvision's names: ``detector.backbone.body.layer3``, ``detector.backbone.neck``, ``detector.head``; places such
    as ``stage3.-1`` are the backbone's. A batch has ``input`` ``(B, C, H, W)`` and ``target``, B dictionaries of
    ``boxes`` ``(n, 4)`` and ``labels`` ``(n,)``; in evaluation also ``index``, and ``size`` and ``factor`` ``(B, 2)``,
    which lead back to the file's pixels.

    A test gives COCO's mean average precision ``mAP`` (intersections from 0.5 to 0.95), ``mAP50`` and ``mAP75``, the
    same on any number of processes. ``sample_scores`` holds ``AP50`` of each picture that shows an object: its average
    precision at 0.5, all classes in one ranking. The mean of these is not mAP.

    Args:
        num_classes: Classes K; the command line takes them from the data.
        input_shape: Shape ``(C, H, W)`` of one picture, likewise.
        backbone: Called with 0 classes and the channels C; gives the maps of its stages.
        detector: Which of torchvision's detectors.
        neck: Between the backbone's maps and the heads, such as FPN, called with the channels of these maps; None is an
            FPN of 256 channels, and nothing for SSDLite.
        finest: Smallest stride of a map that is looked at; None is as published: 8, 4 for FasterRCNN, 16 for SSDLite.
        detections: Objects found in a picture, at most.
        min_score: Score that a found object has at least; None is torchvision's.
        head: In place of the detector's, made of it, such as BridgedHead; None is its own.
        by_size: Whether a test also gives mAP of small, medium and large objects; None means no.
        options: Those of :class:`~blockyard.tasks.base.Task`.

    Raises:
        ValueError: If there is no such detector, maps do not suit it, a number is out of range, pycocotools is not
            installed, or as :class:`~blockyard.tasks.base.Task`.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("pictures with boxes",)
    ranks: ClassVar[tuple[int, ...]] = (2,)
    network: Detector
    primary_metric: ClassVar[str] = "mAP"
    pipeline: ClassVar[str] = "object-detection"
    output: ClassVar[str] = "(B, D, 6): of each object left, top, right, bottom, score and class; then zeros"
    named: ClassVar[bool] = True
    reports: ClassVar[tuple[Callable[[Path], Callback], ...]] = (FoundBoxes, BoxesCSV)
    evaluation_options: ClassVar[tuple[str, ...]] = ("detections", "min_score", "by_size")
    default_objective: ClassVar[type[Default]] = DetectorLosses

    @classmethod
    def suggest(cls, data: DataModule, trained: Choice | None, epochs: int) -> dict[str, Choice]:
        """Also a detector without anchors, a pyramid, and maps as fine as small objects ask for."""
        assert isinstance(data, DetectionDataModule)
        options = super().suggest(data, trained, epochs)
        channels, small = 256 if trained else 64, data.small_side()
        options["detector"] = Choice("FCOS", "every position says what is there: no sizes and shapes to choose")
        neck = {"class_path": "FPN", "init_args": {"channels": channels}}
        options["neck"] = Choice(neck, "as published" if trained else "as narrow as the network")
        last = 4 * (options["backbone"].value["init_args"].get("stem_stride") or 8)
        if small < SMALL or last < 8:
            why = f"a tenth of the boxes are below {small:.0f} pixels across, two positions of the usual stride, 8"
            options["finest"] = Choice(4, why if small < SMALL else f"the last map has stride {last}")
        return options

    def __init__(
        self,
        num_classes: int,
        input_shape: tuple[int, ...],
        backbone: Callable[[int, int], Backbone],
        detector: Literal["FCOS", "RetinaNet", "FasterRCNN", "SSDLite"] = "FCOS",
        neck: Callable[[list[int]], Neck] | None = None,
        finest: int | None = None,
        detections: int = 100,
        min_score: float | None = None,
        head: Callable[[nn.Module, int, list[int]], BridgedHead] | None = None,
        by_size: bool | None = None,
        **options: Any,
    ) -> None:
        require()
        body = backbone(0, input_shape[0])
        network = Detector(detector, body, num_classes, neck, finest, detections, min_score, head)
        super().__init__(network, input_shape, **options)
        self.num_classes, self.by_size = num_classes, bool(by_size)
        self._seen: dict[int, tuple[Found, Found]] = {}
        self.pairs: dict[int, tuple[Found, Found]] = {}

    def vectors(self, x: Tensor) -> Tensor:
        """The last map that objects are found in of pictures ``(B, C, H, W)``, averaged over positions: ``(B, D)``."""
        return self.network.maps(x)[-1].flatten(2).mean(2)

    def find(self, batch: Batch) -> list[Found]:
        """Of each picture ``boxes`` ``(n, 4)`` in pixels of its file, ``scores`` and ``labels`` ``(n,)``."""
        return [
            _of_the_file(*row) for row in zip(self(batch["input"]).float(), batch["factor"], batch["size"], strict=True)
        ]

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        super().on_validation_epoch_start()
        self._seen = {}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Look at a batch, which may be empty."""
        self._look_at(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics; every rank takes part, also one that had no picture."""
        scores = self._scores(self._together())
        self.log("val/mAP", scores["mAP"], prog_bar=True)
        self.log("val/mAP50", scores["mAP50"])

    def on_test_epoch_start(self) -> None:
        """Begin anew."""
        self._seen = {}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Look at a batch, which may be empty."""
        self._look_at(batch)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics; keep ``sample_scores``, and what was found beside what is there as ``pairs``."""
        self.pairs = self._together()
        self.log_dict({f"test/{name}": value for name, value in self._scores(self.pairs, self.by_size).items()})
        each = [picture_precision(*pair) for pair in self.pairs.values()]
        known = [score for score in each if score is not None]
        self.sample_scores = {"AP50": torch.tensor(known)}
        if without := len(each) - len(known):
            rank_zero_warn(f"{without} of {len(each)} test pictures show no object and have no score")

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[list[Found], Tensor]:
        """What is found in the pictures that could be read, and their indices ``(B,)``."""
        batch = only_valid(batch)
        return self.find(batch), batch["index"]

    def _look_at(self, batch: Batch) -> None:
        found = self.find(batch) if len(batch["input"]) else []
        for one, true, index in zip(found, batch["target"], batch["index"].tolist(), strict=True):
            self._seen[index] = _on_host(one), _on_host(true)

    def _together(self) -> dict[int, tuple[Found, Found]]:
        """What all processes have seen, in the order of the split: as one process would have it."""
        parts = of_all_processes(self.trainer, self._seen)
        self._seen = {}
        return dict(sorted((index, pair) for part in parts for index, pair in part.items()))

    @staticmethod
    def _scores(pairs: dict[int, tuple[Found, Found]], by_size: bool = False) -> dict[str, float]:
        return mean_precisions([found for found, _ in pairs.values()], [true for _, true in pairs.values()], by_size)


def _of_the_file(rows: Tensor, factor: Tensor, size: Tensor) -> Found:
    """The objects of rows ``(D, 6)``, in pixels of a file of a size ``(2,)`` that was made a factor ``(2,)`` larger."""
    rows = rows[rows[:, 4] > 0]
    boxes = rows[:, :4] / factor.flip(0).repeat(2)
    boxes = torch.minimum(boxes.clamp(min=0), size.flip(0).repeat(2))
    full = (boxes[:, 2:] > boxes[:, :2]).all(1)  # what was found in the padding alone is none
    return {"boxes": boxes[full], "scores": rows[full, 4], "labels": rows[full, 5].long()}


def _on_host(found: Found) -> Found:
    return {name: value.cpu() for name, value in found.items()}
