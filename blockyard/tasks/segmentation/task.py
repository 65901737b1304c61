"""Semantic segmentation: a class for each pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from blockyard.analysis.probe import Probe
from blockyard.backbones import Backbone
from blockyard.costs import macs_in
from blockyard.datamodules import DataModule, SegmentationDataModule
from blockyard.datamodules.suggesting import Choice
from blockyard.heads import (
    EarlyExits,
    Neck,
    Segmentor,
    TokenPruning,
    check_heads,
    make_segmentor,
    stock_segmentor,
)
from blockyard.metrics import Metric
from blockyard.objectives import Default
from blockyard.tasks.base import Task, refuse_beside
from blockyard.tasks.new_samples import only_valid
from blockyard.tasks.sample_scores import SampleScores
from blockyard.tasks.segmentation.boundaries import boundary_f1
from blockyard.tasks.segmentation.cases import SegmentationCases
from blockyard.tasks.segmentation.inference import Inference, Size
from blockyard.tasks.segmentation.losses import HardPixels, counted, mine_hard_pixels, rarity, weigh_classes
from blockyard.tasks.segmentation.mask_writer import MaskWriter
from blockyard.tasks.segmentation.metrics import IGNORED, PixelConfusion, confusion_of, mean_scores
from blockyard.tasks.segmentation.objective import HeadLosses
from blockyard.tasks.segmentation.probe import PROBE
from blockyard.tasks.segmentation.report import SegmentationReport

Batch = dict[str, Any]
OF_A_PICTURE = ("mIoU", "aAcc")
"""What a test keeps of each picture."""


class SemanticSegmentation(Task):
    """Names the class of each pixel, with mmsegmentation's heads or a whole stock configuration of it.

    ``self.network`` is a plugged :class:`~blockyard.heads.Segmentor`. A training batch has ``input`` float
    ``(B, C, h, w)`` and ``target`` long ``(B, h, w)``, 255 where nothing is asked. In evaluation both are lists: a
    picture ``(C, h, w)`` may be resized, its mask ``(H, W)`` never is, and labels come at the size of the mask. In
    ``predict``, ``size`` ``(B, 2)`` takes the place of the mask. ``index`` ``(B,)`` is the position in the split.

    Validation sees each picture once, test and predict at all ``scales``. A test leaves ``pixel_confusion`` ``(K, K)``,
    rows the true class, and ``pictures``: ``index``, ``mIoU`` over the classes that occur in the picture, and ``aAcc``,
    ``(n,)`` each; pictures without a labelled pixel have no score and are left out. With ``token_pruning``, which a
    picture's cost depends on, ``GMACs`` are counted of each too, and logged in the mean; so is ``boundaryF1`` with a
    ``boundary_tolerance``, NaN for a picture without a boundary.

    Args:
        num_classes: Classes K; the command line takes it from the data.
        input_shape: Shape ``(C, h, w)`` of a training crop; the command line takes it from the data.
        backbone: Called with ``(0, in_channels)``.
        decode_head: Any decode head of mmsegmentation, by its ``type`` and arguments; ``num_classes`` is filled in.
        auxiliary_heads: Heads whose losses are added in training.
        neck: Between the backbone's maps and all heads, such as FPN; called with the channels of these maps.
        mmseg_config: A whole configuration in place of those three, by its name among those that mmsegmentation ships
            (``pspnet_r50-d8_4xb2-40k_cityscapes-512x1024``), or a file.
        mmseg_weights: File with the weights of that configuration's backbone; nothing is downloaded.
        trust_config: Whether a configuration file of your own may be executed: mmsegmentation's are Python.
        inference: ``whole`` pictures, or ``slide`` a window over them; None means as the stock configuration says, or
            whole.
        window: Height and width of the sliding window; None means the stock configuration's, or the training crop's.
        stride: Rows and columns from one window to the next; None means the stock configuration's, or two thirds of
            the window.
        scales: Factors of height and width to average the class probabilities over; None means ``[1.0]``.
        flip_test: Whether each scale is also seen mirrored; None means no.
        class_weights: A factor for each class in the cross entropy of every head; ``balanced`` takes N / (K n_k), where
            n_k of the N labelled pixels of all training masks are of class k, ``median`` the median of the classes'
            frequencies over each one's, in the masks that show it; both are counted when training starts.
        ohem: Which pixels count in the loss of the decode head; None means all.
        pruned_depth: From which depth of a UNetPlusPlusHead evaluation takes its answer, and nothing that is deeper is
            computed in it; None means the last.
        token_pruning: Which tokens of a plain transformer, Isotropic, leave at the auxiliary heads in evaluation; None
            means none. Exports, and the costs that a record states of the network, are those with all tokens.
        boundary_tolerance: How far a predicted boundary may lie from the true one in the boundary F1 of a test, as a
            share of the picture's diagonal; None means that it is not measured.
        overlays: Whether ``predict`` also draws its masks over the pictures; None means no.
        confidence: Whether ``predict`` also writes how likely its labels are; None means no.
        options: Those of :class:`~blockyard.tasks.base.Task`.

    Raises:
        ValueError: If arguments do not fit together, or as :class:`~blockyard.tasks.base.Task`.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("pictures with masks",)
    ranks: ClassVar[tuple[int, ...]] = (2,)
    network: Segmentor
    primary_metric: ClassVar[str] = "mIoU"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("GMACs", unit="G", low=0.0, higher_is_better=False),)
    pipeline: ClassVar[str] = "image-segmentation"
    output: ClassVar[str] = "logits (B, K, H, W) at the input's size; the largest is a pixel's class"
    named: ClassVar[bool] = True
    reports: ClassVar[tuple[Callable[[Path], Callback], ...]] = (SegmentationReport, SegmentationCases, MaskWriter)
    evaluation_options: ClassVar[tuple[str, ...]] = (
        *("inference", "window", "stride", "scales", "flip_test", "pruned_depth"),
        *("token_pruning", "boundary_tolerance"),
    )
    probe: ClassVar[Probe | None] = PROBE
    default_objective: ClassVar[type[Default]] = HeadLosses

    @classmethod
    def suggest(cls, data: DataModule, trained: Choice | None, epochs: int) -> dict[str, Choice]:
        """Also a head of few parameters, and weights of the classes by their pixels."""
        assert isinstance(data, SegmentationDataModule)
        options = super().suggest(data, trained, epochs)
        head = {"type": "SegformerHead", "channels": 64}
        options["decode_head"] = Choice(head, "puts the maps of all stages together, by 1×1 convolutions alone")
        weights = rarity(data.pixel_shares())
        if max(weights) >= 2 * min(weights):
            why = f"{', '.join(data.classes)}: 1 / √(share of the pixels), as means are over classes, not over pixels"
            options["class_weights"] = Choice(weights, why)
        return options

    def __init__(
        self,
        num_classes: int,
        input_shape: tuple[int, ...],
        backbone: Callable[[int, int], Backbone] | None = None,
        decode_head: dict[str, Any] | None = None,
        auxiliary_heads: list[dict[str, Any]] | None = None,
        mmseg_config: str | None = None,
        mmseg_weights: str | None = None,
        trust_config: bool = False,
        inference: Literal["whole", "slide"] | None = None,
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        scales: list[float] | None = None,
        flip_test: bool | None = None,
        class_weights: list[float] | Literal["balanced", "median"] | None = None,
        ohem: HardPixels | None = None,
        overlays: bool | None = None,
        confidence: bool | None = None,
        pruned_depth: int | None = None,
        token_pruning: TokenPruning | None = None,
        boundary_tolerance: float | None = None,
        neck: Callable[[list[int]], Neck] | None = None,
        **options: Any,
    ) -> None:
        refuse_beside(options.get("objective"), SemanticSegmentation, {"class_weights": class_weights, "ohem": ohem})
        if not 2 <= num_classes <= IGNORED:
            raise ValueError(f"num_classes={num_classes} must be 2 to {IGNORED}: masks are bytes, {IGNORED} is ignored")
        if mmseg_config is not None:
            if not (backbone is decode_head is auxiliary_heads is neck is None):
                raise ValueError("mmseg_config is a whole network: leave out backbone, neck, and all heads")
            network = stock_segmentor(mmseg_config, num_classes, trust_config, mmseg_weights)
        else:
            network = _own_network(num_classes, input_shape[0], backbone, decode_head, auxiliary_heads or [], neck)
        network.prune(pruned_depth)
        mine_hard_pixels(network, ohem)
        weighed = weigh_classes(network, class_weights)
        super().__init__(network, input_shape, **options)
        self.num_classes, self.class_weights, self._weighed = num_classes, class_weights, weighed
        self.exits = None if token_pruning is None else EarlyExits(self.network, token_pruning)
        self.boundary_tolerance = _share(boundary_tolerance)
        sliding = _sliding(inference, window, stride, network.test_cfg, input_shape[1:])
        self.once = Inference(*sliding, align_corners=bool(getattr(network.decode_head, "align_corners", False)))
        self.inference = replace(self.once, scales=_checked(scales), flip=bool(flip_test))
        self.overlays, self.predicting = bool(overlays), replace(self.inference, confidence=bool(confidence))
        self.val_confusion, self.test_confusion = PixelConfusion(num_classes), PixelConfusion(num_classes)
        self.pixel_confusion: Tensor | None = None
        self.pictures: dict[str, Tensor] = {}

    def setup(self, stage: str) -> None:
        """Tell heads that learn from words what the classes are called; count pixels, if classes are weighed by them.

        Raises:
            ValueError: If a class has none, or no data module says where the masks are.
        """
        super().setup(stage)
        data: Any = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and data is not None:
            self.network.name_classes(data.classes)
        if stage == "fit" and isinstance(self.class_weights, str):
            weights = counted(self.class_weights, data, self._total)
            for weigh in self._weighed:
                weigh(weights)
            self.found_options["model.class_weights"] = {"by": self.class_weights, "value": weights}
            named = (f"{name} {weight:.3g}" for name, weight in zip(data.classes, weights, strict=True))
            if self.trainer.is_global_zero:
                print(f"class_weights: {self.class_weights}: {', '.join(named)}")

    def _total(self, counts: Tensor) -> Tensor:
        total: Tensor = self.trainer.strategy.reduce(counts.to(self.device), reduce_op="sum")
        return total

    def vectors(self, x: Tensor) -> Tensor:
        """The last map that the heads see of ``(B, C, H, W)``, averaged over positions: ``(B, D)``."""
        return self.network.maps(x)[-1].flatten(2).mean(2)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the pixels of a batch, which may be empty."""
        for predicted, target in zip(self._labels(self.once, batch), batch["target"], strict=True):
            self.val_confusion.update(confusion_of(predicted, target, self.num_classes))

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics; every rank takes part, also one that had no sample."""
        scores = mean_scores(self.val_confusion.compute())
        self.log("val/mIoU", scores["mIoU"].float(), prog_bar=True)
        self.log("val/aAcc", scores["aAcc"].float())
        self.val_confusion.reset()

    def on_test_epoch_start(self) -> None:
        """Make room for the scores of each picture."""
        samples = len(self.trainer.test_dataloaders.dataset)  # type: ignore[union-attr]
        asked = {"GMACs": self.exits, "boundaryF1": self.boundary_tolerance}
        names = (*OF_A_PICTURE, *(name for name, value in asked.items() if value is not None))
        self._scores = SampleScores(samples, names).to(self.device)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the pixels of a batch, which may be empty, picture by picture."""
        found = self._counted(batch)
        for (predicted, macs), target, index in zip(found, batch["target"], batch["index"], strict=True):
            confusion = confusion_of(predicted, target, self.num_classes)
            self.test_confusion.update(confusion)
            if confusion.any():
                scores = mean_scores(confusion) | {"GMACs": torch.tensor(macs / 1e9)}
                if self.boundary_tolerance is not None:
                    scores["boundaryF1"] = torch.tensor(boundary_f1(predicted, target, self.boundary_tolerance))
                self._scores.update(index[None], **{name: scores[name][None] for name in self._scores.names})

    def on_test_epoch_end(self) -> None:
        """Log the test metrics; keep ``pixel_confusion``, ``pictures`` and ``sample_scores``.

        Raises:
            ValueError: If no pixel at all had a label.
        """
        self.pixel_confusion = self.test_confusion.compute()
        if not self.pixel_confusion.any():
            raise ValueError(f"the test has no labelled pixel: every mask value is {IGNORED}")
        # torchmetrics makes a scalar of a single value.
        self.pictures = {name: values.reshape(-1) for name, values in self._scores.compute().items()}
        kept = {name: self.pictures[name] for name in self._scores.names}
        self.sample_scores = {name: values for name, values in kept.items() if not values.isnan().any()}
        if without := len(self._scores.seen) - len(self.pictures["index"]):
            rank_zero_warn(f"{without} of {len(self._scores.seen)} test pictures have no labelled pixel and no score")
        scores = mean_scores(self.pixel_confusion)
        more = {name: values.nanmean() for name, values in kept.items() if name not in OF_A_PICTURE}
        scores |= {name: value for name, value in more.items() if not value.isnan()}
        if more.keys() - scores.keys():
            rank_zero_warn("no test picture has a boundary between labelled pixels: there is no boundaryF1")
        self.log_dict({f"test/{name}": value.float() for name, value in scores.items()})
        self.test_confusion.reset()

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[list[Tensor], Tensor]:
        """Labels, uint8 ``(H, W)`` each, and the indices ``(B,)`` of their pictures: those that could be read.

        With ``confidence`` they are ``(2, H, W)``, the second the probabilities of the labels in 255ths.
        """
        batch = only_valid(batch)
        return self._labels(self.predicting, batch), batch["index"]

    def _labels(self, inference: Inference, batch: Batch) -> list[Tensor]:
        sizes = batch["size"].tolist() if "size" in batch else [target.shape for target in batch["target"]]
        return inference(self.exits or self, batch["input"], [(int(height), int(width)) for height, width in sizes])

    def _counted(self, batch: Batch) -> list[tuple[Tensor, int]]:
        """Labels of each picture, and the multiply–accumulates they took, which are 0 where they were not counted."""
        if self.exits is None:
            return [(labels, 0) for labels in self._labels(self.inference, batch)]
        alone = [{"input": [x], "target": [mask]} for x, mask in zip(batch["input"], batch["target"], strict=True)]
        counted = [macs_in(partial(self._labels, self.inference, one)) for one in alone]
        return [(labels, macs) for (labels,), macs in counted]


def _own_network(
    num_classes: int,
    in_channels: int,
    backbone: Callable[[int, int], Backbone] | None,
    decode_head: dict[str, Any] | None,
    auxiliary_heads: list[dict[str, Any]],
    neck: Callable[[list[int]], Neck] | None,
) -> Segmentor:
    if backbone is None or decode_head is None:
        raise ValueError("a network needs backbone and decode_head, or mmseg_config in place of both")
    check_heads(decode_head, auxiliary_heads)
    return make_segmentor(backbone(0, in_channels), decode_head, auxiliary_heads, num_classes, neck)


def _sliding(
    inference: str | None, window: Size | None, stride: Size | None, stock: Any, crop: tuple[int, ...]
) -> tuple[Size | None, Size]:
    """Window, None for whole pictures, and stride."""
    if (inference or stock.get("mode", "whole")) == "whole":
        if window is not None or stride is not None:
            raise ValueError("window and stride are for sliding: add inference: slide")
        return None, (1, 1)
    height, width = window or stock.get("crop_size", crop)
    down, right = stride or (window is None and stock.get("stride")) or (height * 2 // 3, width * 2 // 3)
    if not (1 <= down <= height and 1 <= right <= width):
        raise ValueError(f"stride {(down, right)} must be at least 1 and at most the window {(height, width)}")
    return (height, width), (down, right)


def _share(tolerance: float | None) -> float | None:
    if tolerance is not None and not 0 <= tolerance < 1:
        raise ValueError(f"boundary_tolerance={tolerance}: a share of the diagonal is needed, such as 0.0075")
    return tolerance


def _checked(scales: list[float] | None) -> tuple[float, ...]:
    if scales is not None and (not scales or min(scales) <= 0):
        raise ValueError(f"scales: positive factors are needed, such as [0.75, 1.0, 1.25], got {scales}")
    return tuple(scales or [1.0])
