"""OneFormer as a decode head over the maps of any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  before mmseg
from blockyard.heads.oneformer.losses import SetLoss
from blockyard.heads.oneformer.pixel_decoder import PixelDecoder
from blockyard.heads.oneformer.segments import Segments, instance_segments, panoptic_segments
from blockyard.heads.oneformer.targets import Task, masks_of
from blockyard.heads.oneformer.text import LENGTH, QueryTexts, tokenise
from blockyard.heads.oneformer.transformer_decoder import Prediction, TransformerDecoder, mlp
from blockyard.mistakes import nearest

# isort: split
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS

LEAST = 1e-12
"""The score of a class, of 0 to Q, that its logarithm is not taken below of."""


@MODELS.register_module()
class OneFormerHead(BaseDecodeHead):
    """One head for semantic, instance and panoptic segmentation, told by a word which of them it is to do.

    Jain et al., OneFormer: One Transformer to Rule Universal Image Segmentation, CVPR 2023. Of maps ``(B, C, h, w)`` a
    pixel decoder of deformable attention, queries begun by the task's token, masked attention; in training the queries
    are compared with texts of what the picture shows, and every layer's masks with those of the task. With ``channels``
    256 and all else as it is by default it has the published sizes. A class's score at a pixel is the sum over the
    queries of the class's probability times the mask's; a logit is its logarithm.

    Args:
        in_channels: Channels of the maps, finest first; filled in.
        channels: Channels C of all parts, a multiple of 4.
        num_classes: Classes K; filled in.
        in_index: Which maps; the last four if it is not given.
        out_channels: The classes; filled in.
        norm_cfg: Norms are group and layer norms; nothing else can be given.
        tasks: What it learns, each picture of a batch one of them by chance; logits are those of the first.
        things: Classes of objects, which instance and panoptic segmentation tell apart; None means all.
        num_queries: Queries, the task's token included.
        encoder_layers: Layers of the pixel decoder.
        query_layers: Layers that the queries begin with.
        decoder_layers: Layers of masked attention.
        text_layers: Layers of the text encoder, which only trains.
        num_heads: Heads of all attention but that of the texts, which has one for every 64 channels.
        contexts: Learnt vectors among the texts.
        contrastive_weight: Weight of the loss that compares queries and texts; 0 leaves out the texts.
        num_points: Points that masks are compared at.
        dropout: Share of numbers dropped in the pixel decoder and where queries begin.

    Raises:
        ValueError: If there is no such task or class, ``channels`` don't fit, or a norm is given.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        num_classes: int,
        in_index: Sequence[int],
        out_channels: int | None = None,
        norm_cfg: dict[str, Any] | None = None,
        tasks: Sequence[Task] = ("semantic",),
        things: Sequence[int] | None = None,
        num_queries: int = 150,
        encoder_layers: int = 6,
        query_layers: int = 2,
        decoder_layers: int = 9,
        text_layers: int = 6,
        num_heads: int = 8,
        contexts: int = 16,
        contrastive_weight: float = 0.5,
        num_points: int = 12544,
        dropout: float = 0.1,
    ) -> None:
        _check(channels, num_heads, norm_cfg, tasks)
        selected = {"in_index": in_index, "input_transform": "multiple_select", "init_cfg": None}
        super().__init__(in_channels, channels, num_classes=num_classes, out_channels=out_channels, **selected)
        del self.conv_seg, self.loss_decode  # queries classify, and their losses are those of masks
        self.tasks = list(tasks)
        self.things = _classes(things, num_classes)
        self.contrastive_weight = contrastive_weight
        self.pixel_decoder = PixelDecoder(in_channels, channels, encoder_layers, num_heads, dropout)
        self.task_mlp = mlp(LENGTH, channels, 2)
        levels = self.pixel_decoder.levels
        sizes = (num_queries, decoder_layers, query_layers, num_heads)
        self.decoder = TransformerDecoder(channels, num_classes, levels, *sizes, dropout)
        self.set_loss = SetLoss(num_classes, num_points)
        self.texts: nn.Module | None = None
        if contrastive_weight:
            self.texts = QueryTexts(channels, num_classes, num_queries, text_layers, contexts)
        words = torch.stack([tokenise(f"the task is {task}") for task in get_args(Task)])
        self.register_buffer("words", words.float(), persistent=False)

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Logits ``(B, K, h, w)`` of the backbone's maps, at the finest one's size."""
        return self._logits(self._last(inputs, self.tasks[0]))

    def predict(self, inputs: list[Tensor], batch_img_metas: list[dict[str, Any]], test_cfg: Any) -> Tensor:
        """Logits ``(B, K, H, W)`` at the pictures' size, to which masks are enlarged before their scores are added."""
        size = batch_img_metas[0]["img_shape"]
        return self._logits(_enlarged(self._last(inputs, self.tasks[0]), size))

    def segments(self, inputs: list[Tensor], size: Sequence[int], task: Task | None = None) -> list[Segments]:
        """The segments of every picture.

        Args:
            inputs: The backbone's maps, as ``Segmentor.maps`` gives them.
            size: Height and width of the masks.
            task: ``panoptic``, ``instance``, or ``semantic``, which is panoptic without things; None means the first
                that it learns.

        Raises:
            ValueError: If there is no such task.
        """
        task = task or self.tasks[0]
        _check_tasks([task])
        whole = _enlarged(self._last(inputs, task), size)
        pictures = [Prediction(*each) for each in zip(whole.classes, whole.masks, strict=True)]
        if task == "instance":
            return [instance_segments(each, self.things) for each in pictures]
        things = self.things if task == "panoptic" else []
        return [panoptic_segments(each, things) for each in pictures]

    def loss(self, inputs: list[Tensor], batch_data_samples: list[Any], train_cfg: Any) -> dict[str, Tensor]:
        """``loss_class``, ``loss_mask``, ``loss_dice``, ``loss_contrastive`` of ``(B, C, h, w)``, over all layers."""
        masks = self._stack_batch_gt(batch_data_samples)[:, 0]
        tasks = self._drawn(len(masks))
        predictions, queries = self._decoded(inputs, tasks)
        targets = [masks_of(mask, task, self.things) for mask, task in zip(masks, tasks, strict=True)]
        with torch.autocast(masks.device.type, enabled=False):
            each = [self.set_loss(Prediction(*map(_single, prediction)), targets) for prediction in predictions]
            losses = {name: torch.stack([loss[name] for loss in each]).sum() for name in each[0]}
            if self.texts is not None:
                labels = [target.labels for target in targets]
                losses["loss_contrastive"] = self.contrastive_weight * self.texts(_single(queries), labels, tasks)
        return losses

    def name_classes(self, names: Sequence[str]) -> None:
        """Let the texts call the K classes by their names."""
        if isinstance(self.texts, QueryTexts):
            self.texts.name_classes(names)

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Give the K classes factors in the cross entropy of the queries' classes."""
        self.set_loss.weigh_classes(weights)

    def _decoded(self, inputs: list[Tensor], tasks: Sequence[Task]) -> tuple[list[Prediction], Tensor]:
        """All layers' predictions and the first queries, the task of each picture, or of all, given."""
        maps, pixels = self.pixel_decoder(self._transform_inputs(inputs))
        words = torch.stack([self.words[get_args(Task).index(task)] for task in tasks])
        return self.decoder(maps, pixels, self.task_mlp(words))

    def _last(self, inputs: list[Tensor], task: Task) -> Prediction:
        predictions, _ = self._decoded(inputs, [task])
        return predictions[-1]

    def _logits(self, prediction: Prediction) -> Tensor:
        classes, masks = map(_single, prediction)
        scores = torch.einsum("bqc,bqhw->bchw", classes.softmax(-1)[..., :-1], masks.sigmoid())
        return scores.clamp(min=LEAST).log()

    def _drawn(self, count: int) -> list[Task]:
        """A task for each picture."""
        if len(self.tasks) == 1:
            return self.tasks * count
        return [self.tasks[i] for i in torch.randint(len(self.tasks), (count,)).tolist()]


def _enlarged(prediction: Prediction, size: Sequence[int]) -> Prediction:
    return Prediction(prediction.classes, F.interpolate(prediction.masks, list(size), mode="bilinear"))


def _single(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _check(channels: int, num_heads: int, norm_cfg: dict[str, Any] | None, tasks: Sequence[str]) -> None:
    if channels % 4 or channels % num_heads:
        raise ValueError(f"channels={channels} must be a multiple of 4 and of num_heads={num_heads}")
    if norm_cfg not in (None, {"type": "BN", "requires_grad": True}):  # which make_head fills in
        raise ValueError("norms are group and layer norms; leave norm_cfg out")
    _check_tasks(tasks)


def _check_tasks(tasks: Sequence[str]) -> None:
    for task in tasks:
        if task not in get_args(Task):
            raise ValueError(f"tasks: there is no {task!r}; {nearest(str(task), get_args(Task))}")
    if isinstance(tasks, str) or not tasks:
        raise ValueError(f"tasks={tasks!r} must be a list, such as [semantic, panoptic]")


def _classes(things: Sequence[int] | None, num_classes: int) -> list[int]:
    chosen = list(range(num_classes)) if things is None else list(things)
    if wrong := [each for each in chosen if each not in range(num_classes)]:
        raise ValueError(f"things={chosen}: {wrong[0]} is no class, which are 0 to {num_classes - 1}")
    return chosen
