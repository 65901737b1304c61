"""Decode heads from mmsegmentation's config dicts, completed by what the backbone and the data say."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from blockyard.backbones import Stage
from blockyard.backbones.adapters.mmseg_config import build, class_of, plain, registry

_NAMES = ("asymmetric_head", "block_head", "ffnet_head", "oneformer.head", "reduced_aspp_head", "unet_heads")
_OWN = tuple(f"blockyard.heads.{name}" for name in _NAMES)
"""Modules with heads of ours; importing them registers the heads with mmsegmentation."""
_INPUTS: dict[str, slice] = {
    "ANNHead": slice(-2, None),
    "AsymmetricNonlocalHead": slice(-2, None),
    "EncHead": slice(-3, None),
    "FFNetHead": slice(-4, None),
    "FPNHead": slice(None),
    "LRASPPHead": slice(-3, None),
    "OneFormerHead": slice(-4, None),
    "SegformerHead": slice(None),
    "UNetHead": slice(None),
    "UNetPlusPlusHead": slice(None),
    "UPerHead": slice(None),
}
"""Which maps a head of several inputs takes unless ``in_index`` says so, as in its paper's configs."""
_UNUSABLE: dict[str, str] = {
    "PIDHead": "it needs maps of edges beside the masks",
    "PSAHead": "it needs an operator of the full mmcv",
    "SideAdapterCLIPHead": "it needs CLIP",
    "VPDDepthHead": "it estimates depth",
}
_BROKEN_LOSSES: dict[str, str] = {
    "OhemCrossEntropy": "use sampler: {type: OHEMPixelSampler} with CrossEntropyLoss",
    "BoundaryLoss": "it needs maps of edges",
    "HuasdorffDisstanceLoss": "it counts ignored pixels as background; use DiceLoss, TverskyLoss or LovaszLoss",
    "SiLogLoss": "it compares depths",
}


def make_head(config: Any, stages: Sequence[Stage], num_classes: int, *, auxiliary: bool = False) -> nn.Module:
    """Build and initialise a decode head.

    Args:
        config: mmsegmentation's config, a mapping with ``type``. ``in_index`` (the last map; the last but one for an
            auxiliary head; what the paper's configs say for heads of several inputs), ``in_channels``, ``channels``
            (a quarter of the last input's, or all without convolutions; the finest input's in U-Nets), ``num_classes``
            and ``norm_cfg`` (BN) are filled in where missing.
        stages: The maps that the head can choose from.
        num_classes: Number of classes K.
        auxiliary: Whether it is an auxiliary head.

    Raises:
        ValueError: If the head or an option does not exist, contradicts the backbone or the data, or is known not
            to work.
    """
    register_own_heads()
    cls = class_of(config, "decode_head")
    options = plain(config)
    name = options["type"]
    _refuse_head(name, cls)
    classes = options.setdefault("num_classes", num_classes)
    if classes != num_classes:
        raise ValueError(f"{name}: num_classes={classes}, but the data have {num_classes} classes")
    if options.setdefault("out_channels", num_classes) != num_classes:
        raise ValueError(f"{name}: out_channels must be the {num_classes} classes, got {options['out_channels']}")
    _connect(options, stages, auxiliary)
    options.setdefault("norm_cfg", {"type": "BN", "requires_grad": True})
    _refuse_losses(options, cls, num_classes)
    head = build(options, "decode_head")
    from blockyard.heads.ignored_pixels import mend_losses  # imports mmsegmentation

    return mend_losses(head)


def check_heads(decode_head: Any, auxiliary_heads: Sequence[Any]) -> None:
    """Refuse configs of heads that say what they may not, before anything at all is built.

    Raises:
        ValueError: As :func:`blockyard.backbones.adapters.mmseg_config.class_of`.
    """
    register_own_heads()
    class_of(decode_head, "decode_head")
    for index, config in enumerate(auxiliary_heads):
        class_of(config, "decode_head", f"auxiliary_heads[{index}]")


def register_own_heads() -> None:
    """Let config dicts name this package's heads; needed once a process."""
    registry()
    for module in _OWN:
        importlib.import_module(module)


def _connect(options: dict[str, Any], stages: Sequence[Stage], auxiliary: bool) -> None:
    """Fill in which maps the head takes and how wide they are, or check what is given."""
    name, widths = options["type"], [stage.channels for stage in stages]
    several = _INPUTS.get(name) if options.get("input_transform") is None else slice(None)
    everything = list(range(len(stages)))
    last: int = everything[-2:][0] if auxiliary else everything[-1]
    index = options.setdefault("in_index", last if several is None else everything[several])
    indices = index if isinstance(index, list | tuple) else [index]
    if not indices or not all(isinstance(i, int) and -len(widths) <= i < len(widths) for i in indices):
        raise ValueError(f"{name}: in_index={index}, but the backbone gives {len(widths)} maps, 0 … {len(widths) - 1}")
    taken = [widths[i] for i in indices]
    fitting = taken if isinstance(index, list | tuple) else taken[0]
    given = options.setdefault("in_channels", fitting)
    if (list(given) if isinstance(given, list | tuple) else given) != fitting:
        raise ValueError(f"{name}: in_channels={given}, but the backbone's maps in_index={index} have {fitting}")
    unchanged = name.endswith("FCNHead") and options.get("num_convs") == 0
    width = sum(taken) if options.get("input_transform") == "resize_concat" else taken[-1]
    upward = name in ("UNetHead", "UNetPlusPlusHead")
    usual = (options.get("widths") or taken)[0] if upward else width if unchanged else max(1, taken[-1] // 4)
    channels = options.setdefault("channels", usual)
    if unchanged and channels != width:
        raise ValueError(
            f"{name}: num_convs=0 classifies the map as it is, so channels must be its {width}, got {channels}; "
            "leave channels away, or give num_convs=1 or more"
        )
    if name == "DepthwiseSeparableASPPHead":
        options.setdefault("c1_in_channels", widths[0])
        options.setdefault("c1_channels", 48)


def _refuse_head(name: str, cls: type) -> None:
    from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead

    why = "it refines another head's prediction" if issubclass(cls, BaseCascadeDecodeHead) else _UNUSABLE.get(name)
    if why:
        raise ValueError(f"{name} cannot be used here: {why}")


def _refuse_losses(options: Mapping[str, Any], cls: Any, num_classes: int) -> None:
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    losses = options.get("loss_decode", {"type": "CrossEntropyLoss"})
    for loss in losses if isinstance(losses, list | tuple) else [losses]:
        kind = loss.get("type") if isinstance(loss, Mapping) else None
        if kind in _BROKEN_LOSSES and cls.loss_by_feat is BaseDecodeHead.loss_by_feat:
            raise ValueError(f"{options['type']}: {kind} does not work as loss_decode; {_BROKEN_LOSSES[kind]}")
        if options.get("sampler") and kind != "CrossEntropyLoss":
            raise ValueError(f"{options['type']}: a sampler weighs pixels, which {kind} does not take; leave one out")
        weights = loss.get("class_weight") if isinstance(loss, Mapping) else None
        if isinstance(weights, list | tuple) and len(weights) != num_classes:
            raise ValueError(f"{options['type']}: class_weight has {len(weights)} entries for {num_classes} classes")
