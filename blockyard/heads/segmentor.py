"""A backbone with mmsegmentation's decode heads: logits for every pixel, and the heads' own losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from blockyard.backbones import Backbone, Stage
from blockyard.heads.decode_head import make_head
from blockyard.heads.neck import neck_stages


class Segmentor(nn.Module):
    """Backbone, decode head and auxiliary heads, with mmsegmentation's parameters: its checkpoints load.

    An adapter, such as ``TimmBackbone``, gives up its stock network, which becomes ``backbone``: places are called
    ``backbone.layer3.4``, and ``stage3.-2`` works.

    Args:
        backbone: A trunk.
        decode_head: What predicts.
        auxiliary_heads: What is trained along and never asked.
        num_classes: Number of classes K.
        test_cfg: mmsegmentation's ``mode``, ``crop_size`` and ``stride`` of inference, kept for whoever evaluates.
        neck: Between backbone and heads, if anything.
    """

    def __init__(
        self,
        backbone: Backbone,
        decode_head: nn.Module,
        auxiliary_heads: Sequence[nn.Module],
        num_classes: int,
        test_cfg: dict[str, Any] | None = None,
        neck: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone.get_submodule(backbone.stock_path)
        self.neck = neck
        self.decode_head = decode_head
        self.auxiliary_heads = nn.ModuleList(auxiliary_heads)
        self.num_classes = num_classes
        self.test_cfg = dict(test_cfg or {"mode": "whole"})
        self.stages = _below_backbone(stages_of(backbone))
        self.register_load_state_dict_pre_hook(_adopt_stock_names)
        # of an adapter, only what it adapts is a part of this network; how its maps are read, the adapter knows
        self.read, self.load_blocks = backbone.features, backbone.load_blocks

    def maps(self, x: Tensor) -> list[Tensor]:
        """What the heads see of ``(B, C, H, W)``."""
        maps = self.read(x)
        return maps if self.neck is None else list(self.neck(maps))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, K, H, W)`` of ``(B, C, H, W)``, at the input's size."""
        head: Any = self.decode_head
        return head.predict(self.maps(x), [{"img_shape": x.shape[2:]}], self.test_cfg)

    def losses(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The losses of all heads, named as mmsegmentation names them.

        Args:
            x: Images, ``(B, C, H, W)``.
            target: Classes, ``(B, H, W)``, 255 where nothing is known.

        Returns:
            Tensors of one number by name. What is minimised is the sum of those whose name contains "loss"; the
            others are to be looked at.

        Raises:
            ValueError: If a head has a FocalLoss and the images are on the CPU, where mmsegmentation's is wrong.
        """
        self._refuse_focal_on_cpu(x)
        maps, samples = self.maps(x), _samples(target)
        single = len(self.auxiliary_heads) == 1
        heads: dict[str, Any] = {"decode": self.decode_head}
        heads |= {"aux" if single else f"aux_{i}": head for i, head in enumerate(self.auxiliary_heads)}
        return {
            f"{prefix}.{name}": value
            for prefix, head in heads.items()
            for name, value in head.loss(maps, samples, {}).items()
        }

    def prune(self, depth: int | None) -> None:
        """Let a decode head that can be pruned, such as UNetPlusPlusHead, answer from a depth; None means the last.

        Raises:
            ValueError: If the head can't be pruned, or has no such depth.
        """
        prune = getattr(self.decode_head, "prune", None)
        if prune is not None:
            prune(depth)
        elif depth is not None:
            raise ValueError(f"pruned_depth={depth}: {type(self.decode_head).__name__} has none; UNetPlusPlusHead has")

    def name_classes(self, names: Sequence[str]) -> None:
        """Tell the K names of the classes to heads that learn from them, such as OneFormerHead."""
        heads: list[Any] = [self.decode_head, *self.auxiliary_heads]
        for head in heads:
            if hasattr(head, "name_classes"):
                head.name_classes(names)

    def _refuse_focal_on_cpu(self, x: Tensor) -> None:
        if not x.is_cuda and any(type(module).__name__ == "FocalLoss" for module in self.modules()):
            raise ValueError("mmsegmentation's FocalLoss is wrong on the CPU; use CrossEntropyLoss or TverskyLoss")


def make_segmentor(
    backbone: Backbone,
    decode_head: dict[str, Any],
    auxiliary_heads: Sequence[dict[str, Any]],
    num_classes: int,
    neck: Callable[[list[int]], nn.Module] | None = None,
) -> Segmentor:
    """Put mmsegmentation's heads, or ours, on a backbone.

    Args:
        backbone: A trunk.
        decode_head: Config of the head, a mapping with ``type``; see :func:`blockyard.heads.decode_head.make_head`
            for what is filled in.
        auxiliary_heads: Configs of auxiliary heads.
        num_classes: Number of classes K.
        neck: Called with the channels of the backbone's maps, makes what stands between these and the heads.

    Raises:
        ValueError: If the backbone has no ``stages``, or a head is refused.
    """
    stages = stages_of(backbone)
    maps = (*backbone.before_stages, *stages)
    between = None if neck is None else neck([each.channels for each in maps])
    seen = maps if between is None else neck_stages(between, maps)
    head = make_head(decode_head, seen, num_classes)
    others = [make_head(config, seen, num_classes, auxiliary=True) for config in auxiliary_heads]
    return Segmentor(backbone, head, others, num_classes, neck=between)


def stages_of(backbone: Backbone) -> tuple[Stage, ...]:
    """The stages that a backbone declares.

    Raises:
        ValueError: If it declares none.
    """
    stages = getattr(backbone, "stages", None)
    if not isinstance(stages, tuple) or not stages:
        name = type(backbone).__name__
        raise ValueError(f"{name} declares no stages; a segmentor takes TimmFeatures, MMSegBackbone or the like")
    return stages


def _below_backbone(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Stages by their path in the segmentor; none where not every map is the output of a module of its own."""
    paths = {stage.path for stage in stages}
    if "" in paths or len(paths) < len(stages):
        return ()
    return tuple(replace(stage, path=f"backbone.{stage.path}") for stage in stages)


def _adopt_stock_names(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    """Checkpoints of mmsegmentation hold ``auxiliary_head.conv_seg…``, or ``auxiliary_head.0.conv_seg…``."""
    stock = f"{prefix}auxiliary_head."
    for key in [key for key in state if key.startswith(stock)]:
        rest = key[len(stock) :]
        numbered = rest if rest.split(".")[0].isdigit() else f"0.{rest}"
        state[f"{prefix}auxiliary_heads.{numbered}"] = state.pop(key)


def _samples(target: Tensor) -> list[Any]:
    """One of mmsegmentation's records a sample, which is how its heads take targets ``(B, H, W)``."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    return [SegDataSample(gt_sem_seg=PixelData(data=mask[None])) for mask in target]
