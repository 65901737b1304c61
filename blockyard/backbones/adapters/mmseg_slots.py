"""What config dicts for mmsegmentation may say, checked in whole before anything is built.

mmengine's registries import a ``type`` that they do not know, wherever in a config it stands: as ``package.name``, as
``scope.name`` and even as a bare name. Some options of mmsegmentation read files, pickles among them, or fetch them. So
a ``type`` has to be the plain name of a class that is registered already and fits its place, and nothing may name a
file.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from blockyard.blocks import list_blocks
from blockyard.mistakes import nearest

_TORCH, _BRICKS, _PARTS = "torch.nn.modules.", "mmcv.cnn.bricks.", "mmseg.models."
KINDS: dict[str, tuple[str, ...]] = {
    "activation": (f"{_TORCH}activation", *(f"{_BRICKS}{name}" for name in ("activation", "hsig", "hswish", "swish"))),
    "assigner": (f"{_PARTS}assigners.hungarian_assigner",),
    "backbone": (f"{_PARTS}backbones",),
    "convolution": (f"{_TORCH}conv", f"{_BRICKS}wrappers", f"{_BRICKS}conv", "mmcv.ops"),
    "decode_head": (f"{_PARTS}decode_heads", "blockyard.heads"),
    "dropout": (f"{_BRICKS}drop",),
    "initialiser": ("mmengine.model.weight_init",),
    "layer": (
        *("torch.nn", "mmcv.cnn", "mmcv.ops", "mmengine.utils.dl_utils"),
        *(f"{_PARTS}{name}" for name in ("backbones", "decode_heads", "losses", "necks")),
    ),
    "loss": (f"{_PARTS}losses",),
    "match cost": (f"{_PARTS}assigners.match_cost",),
    "neck": (f"{_PARTS}necks",),
    "norm": (
        *(f"{_TORCH}{name}" for name in ("batchnorm", "instancenorm", "normalization")),
        *("mmengine.utils.dl_utils.parrots_wrapper", "mmcv.ops.sync_bn"),
    ),
    "padding": (f"{_TORCH}padding",),
    "plugin": (*(f"{_BRICKS}{name}" for name in ("context_block", "non_local", "generalized_attention")), "mmcv.ops"),
    "sampler": ("mmseg.structures.sampler",),
    "upsampling": (
        *(f"{_TORCH}upsampling", f"{_BRICKS}upsample", f"{_BRICKS}wrappers"),
        *(f"{_PARTS}backbones.unet", "mmcv.ops.carafe"),
    ),
}
"""Where the classes of each kind are defined; what a package of the user's has registered itself fits every kind."""
_REGISTRIES = {"assigner": "TASK_UTILS", "match cost": "TASK_UTILS", "sampler": "TASK_UTILS"} | {
    "initialiser": "WEIGHT_INITIALIZERS"
}
_STOCK = ("blockyard", "mmengine", "mmcv", "mmseg", "torch")
_READERS = ("CLIPTextEncoder", "Pretrained", "SideAdapterCLIPHead", "VPD")
"""Registered classes that do nothing without a file, or fetch one."""

_SLOTS: tuple[tuple[str, str], ...] = (
    (r"(\w+_)?norm(_cfg|_layer)", "norm"),
    (r"(\w+_)?act_cfg", "activation"),
    (r"(\w+_)?conv(_cfg|_type)", "convolution"),
    (r"(\w+_)?pad_cfg|padding_mode", "padding"),
    (r"(\w+_)?upsample_cfg", "upsampling"),
    (r"dropout_layer|drop_cfg", "dropout"),
    (r"loss(_\w+)?", "loss"),
    (r"init_cfg|override", "initialiser"),
    (r"(\w+_)?sampler", "sampler"),
    (r"(\w+_)?assigner", "assigner"),
    (r"match_costs?", "match cost"),
    (r"backbone(_cfg)?", "backbone"),
    (r"neck", "neck"),
    (r"decode_head|auxiliary_heads?|kernel_(generate|update)_head", "decode_head"),
    (r"cfg", "plugin"),
)
"""Keys, and the kind of what stands there; at any other key it is some layer."""
_NAMED = ("norm_layer", "conv_type", "padding_mode")
"""Keys at which a bare name is looked up in a registry."""
_READING = re.compile(
    r"pretrained\w*|checkpoint\w*|load_from|resume_from|cache_dir|\w*_(file|path)|diffusion_cfg|class_weight"
)
"""Options that read files or fetch them if they hold a name; with null, false or numbers they do no such thing."""
_SWITCHES = ("default_scope", "custom_imports", "lazy_import")
_NATIVE_PADDING = ("zeros", "circular")
_WORD = re.compile(r"[\w -]*", re.ASCII)
"""Text that names neither a file nor an address nor an import."""
_DEEPEST = 30


def check(config: Any, kind: str, path: str) -> None:
    """Walk a config, all that is nested in it included.

    Args:
        config: A mapping with ``type``, or a sequence of them.
        kind: What it is, one of :data:`KINDS`.
        path: What it is called in the configuration.

    Raises:
        ValueError: If it holds anything but plain values, names a class that is not registered under that plain name or
            does not fit its place, switches registries, or makes anything read or fetch a file. One line that begins
            with the path of the key.
    """
    _walk(config, kind, "", path, 0)


def known(kind: str) -> dict[str, type]:
    """The registered classes of a kind by the names that a config can call them."""
    import blockyard.backbones.adapters.mmseg_import

    _ = blockyard.backbones.adapters.mmseg_import
    import mmengine.registry
    import mmseg.models
    import mmseg.registry

    _ = mmseg.models
    name = _REGISTRIES.get(kind, "MODELS")
    registered = {**getattr(mmengine.registry, name).module_dict, **getattr(mmseg.registry, name).module_dict}
    return {
        name: cls
        for name, cls in registered.items()
        if inspect.isclass(cls) and name not in _READERS and _fits(cls.__module__, kind)
    }


def _fits(module: str, kind: str) -> bool:
    return module.startswith(KINDS[kind]) or module.partition(".")[0] not in _STOCK


def _walk(value: Any, kind: str, key: str, path: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"{path[:80]}…: nested deeper than {_DEEPEST} levels")
    if _READING.fullmatch(key) and (value is True or isinstance(value, str | Mapping)):
        raise ValueError(
            f"{path}: nothing in a config may read or fetch a file; leave it out and give a file of weights"
        )
    if isinstance(value, Mapping):
        _mapping(value, kind, path, depth)
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            _walk(entry, kind, key, f"{path}[{index}]", depth + 1)
    elif isinstance(value, str):
        _text(value, kind, key, path)
    elif not (value is None or isinstance(value, bool | int | float)):
        raise ValueError(f"{path}: a config holds plain values only, not a {type(value).__name__}")


def _mapping(config: Mapping[Any, Any], kind: str, path: str, depth: int) -> None:
    for key in config:
        if not isinstance(key, str) or key.startswith("_") or key in _SWITCHES:
            raise ValueError(f"{path}: the key {key!r} has a meaning for mmengine alone, which it may not have here")
    if "type" in config:
        _refuse_type(config["type"], kind, f"{path}.type")
    for key, value in config.items():
        if key == "block" and config.get("type") == "BlockHead":
            _block(value, f"{path}.block", depth)
        elif key != "type":
            _walk(value, _kind_at(key), key, f"{path}.{key}", depth + 1)


def _kind_at(key: str) -> str:
    return next((kind for pattern, kind in _SLOTS if re.fullmatch(pattern, key)), "layer")


def _refuse_type(name: Any, kind: str, path: str) -> None:
    classes = known(kind)
    if name in _READERS:
        raise ValueError(f"{path}: {name} reads or fetches a file; leave it out, weights have an option of their own")
    if not isinstance(name, str) or name not in classes:
        said = name if isinstance(name, str) else type(name).__name__
        raise ValueError(f"{path}: mmsegmentation has no {kind} {said!r}; {nearest(said, classes)}")


def _text(value: str, kind: str, key: str, path: str) -> None:
    if key == "model_name":
        import timm  # which few configs name

        if not timm.is_model(value):
            raise ValueError(f"{path}: timm has no network {value!r}; {nearest(value, timm.list_models())}")
    elif key in _NAMED and value not in _NATIVE_PADDING:
        _refuse_type(value, kind, path)
    elif not _WORD.fullmatch(value):
        raise ValueError(
            f"{path}: {value!r} could name a file, an address or an import; a config holds plain words only"
        )


def _block(value: Any, path: str, depth: int) -> None:
    """BlockHead's block: a name, or a mapping with ``type``, or with ``class_path`` and ``init_args``."""
    options = {"type": value} if isinstance(value, str) else value
    if not isinstance(options, Mapping):
        raise ValueError(f"{path}: a block's name or a mapping with 'type' is needed, not a {type(value).__name__}")
    named = "class_path" if "class_path" in options else "type"
    blocks = {block.__name__: block for block in list_blocks()}
    allowed = {*blocks, *(f"{block.__module__}.{block.__name__}" for block in blocks.values())}
    name = str(options.get(named))
    if name not in allowed and not (name.startswith("blockyard.blocks.") and name.rpartition(".")[2] in blocks):
        raise ValueError(f"{path}: there is no block {name!r}; {nearest(name, blocks)}")
    for key, option in options.items():
        if key != named:
            _walk(option, "layer", str(key), f"{path}.{key}", depth + 1)
