"""Building modules of mmsegmentation from config dicts, with mistakes in one line."""

from __future__ import annotations

import inspect
import linecache
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from torch import nn

from blockyard.backbones.adapters.mmseg_slots import check, known
from blockyard.backbones.weights import first_line
from blockyard.mistakes import nearest

Kind = Literal["backbone", "neck", "decode_head"]
_SYNCHRONISED = ("SyncBN", "MMSyncBN")


def plain(config: Any) -> Any:
    """A config as plain mappings and lists that nobody shares, with norms of one process.

    SyncBN becomes BN, which ``sync_batchnorm=True`` of the Trainer converts back.

    Args:
        config: A mapping, sequence or value, mmengine's own kinds included.
    """
    if isinstance(config, Mapping):
        items = {key: plain(value) for key, value in config.items()}
        if items.get("type") in _SYNCHRONISED:
            items["type"] = "BN"
        return items
    return type(config)(plain(value) for value in config) if isinstance(config, list | tuple) else config


def without_weights(config: Any) -> Any:
    """A stock config without the weights that it would fetch: ``pretrained``, and each Pretrained ``init_cfg``.

    Args:
        config: A mapping, sequence or value, plain ones only.
    """
    if isinstance(config, Mapping):
        kept = {key: value for key, value in config.items() if key != "pretrained" and not _is_pretrained(value)}
        items = {key: without_weights(value) for key, value in kept.items()}
        return {key: value for key, value in items.items() if key != "init_cfg" or value not in ([], ())}
    if isinstance(config, list | tuple):
        return type(config)(without_weights(value) for value in config if not _is_pretrained(value))
    return config


def _is_pretrained(config: Any) -> bool:
    return isinstance(config, Mapping) and config.get("type") == "Pretrained"


def class_of(config: Any, kind: Kind, path: str | None = None) -> type:
    """The class that a config names, once the whole config turned out harmless.

    Args:
        config: A mapping with ``type``.
        kind: What it is.
        path: What it is called in the configuration; as its kind, if None.

    Raises:
        ValueError: If the config is no mapping with ``type``, names nothing of this kind, or
            :func:`~blockyard.backbones.adapters.mmseg_slots.check` refuses something in it.
    """
    if not isinstance(config, Mapping) or "type" not in config:
        raise ValueError(f"{path or kind} must be a mapping with a 'type', such as {{type: FCNHead}}, got {config!r}")
    _, base = registry()
    check(config, kind, path or kind)
    cls = known(kind)[config["type"]]
    if kind == "decode_head" and not issubclass(cls, base):
        raise ValueError(f"{path or kind}.type: {config['type']} is a part of a decode head, not a whole one")
    return cls


def build(config: Mapping[str, Any], kind: Kind) -> nn.Module:
    """Build and initialise a module.

    Args:
        config: Its config, as :func:`plain` gives it.
        kind: What it is.

    Raises:
        ValueError: If the class or an option does not exist, or the class refuses what it is given.
    """
    from mmengine.registry import DefaultScope

    models, _ = registry()
    cls = class_of(config, kind)
    allowed = options_of(cls)
    for name in config:
        if allowed is not None and name != "type" and name not in allowed:
            raise ValueError(f"{config['type']} has no option {name!r}; {nearest(name, allowed)}")
    with DefaultScope.overwrite_default_scope("mmseg"), _quiet():
        try:
            module = models.build(dict(config))
        except Exception as error:  # assertions, missing arguments, what a registry wraps around them
            raise ValueError(f"{config['type']}: {_cause(error)}") from error
        module.init_weights()
    return module


def options_of(cls: type) -> set[str] | None:
    """The constructor's options, base classes' included where it hands ``**kwargs`` on; None if it takes any."""
    options: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        options |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return options
    return None


def _cause(error: BaseException) -> str:
    """The last line that says something; of an assertion without words, what it asserts."""
    if str(error).strip():
        return first_line(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return f"{first_line(error)} in its constructor"
    code, line = trace.tb_frame.f_code, linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno).strip()
    asserted = line.startswith("assert ")
    return f"its options must be such that {line[7:]}" if asserted else f"{first_line(error)} in {code.co_qualname}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep mmengine from logging every parameter that it initialises, and mmseg from advising its own developers."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def registry() -> tuple[Any, type]:
    """Mmsegmentation's registry of models and the base class of its decode heads; the first call imports it."""
    import blockyard.backbones.adapters.mmseg_import

    _ = blockyard.backbones.adapters.mmseg_import
    import mmseg.models
    from mmseg.registry import MODELS

    return MODELS, mmseg.models.decode_heads.decode_head.BaseDecodeHead
