"""What a parsed configuration names, looked at before any of it is called.

The parser imports what is allowed and nothing else, but it takes functions too where something callable is wanted, and
a class that executes a file if told to trust it may stand anywhere a network can.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from jsonargparse import Namespace

from blockyard.composing.composition import TRUST
from blockyard.composing.preparing import ALLOWED

_TRUSTING = f"model.init_args.{TRUST[2:]}"


def refuse_calls(config: Any, trusting: bool = False) -> None:
    """Refuse a configuration that makes a function of these packages run, or a file that the user did not trust.

    Functions of packages that the user allows are the user's own affair.

    Args:
        config: What the parser made of it, or part of it; it may be nested in any way.
        trusting: Whether the command line said ``--trust_config``.

    Raises:
        ValueError: One line that names the path of the key.
    """
    for path, value in _leaves(config, ""):
        name = path.rpartition(".")[2]
        if name == TRUST[2:] and value not in (None, False) and not (trusting and path == _TRUSTING):
            raise ValueError(f"{path}: whom you trust, the command line says and no file: {TRUST}")
        found = _imported(value) if name == "class_path" and isinstance(value, str) else value
        if callable(found) and not inspect.isclass(found) and _is_ours(found):
            raise ValueError(f"{path}: {_name(found)} is a function; a configuration can name classes only")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def _imported(path: str) -> Any:
    """What a dotted path means, among what the parser has imported already."""
    module, _, name = path.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def _name(found: Any) -> str:
    while isinstance(found, functools.partial):
        found = found.func
    return f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', type(found).__name__)}"


def _is_ours(found: Any) -> bool:
    return any(_name(found).startswith(f"{prefix}.") for prefix in ALLOWED)


def short_names(config: Any) -> Any:
    """A configuration whose classes of this package go by name alone, so that moving one breaks no checkpoint."""
    if isinstance(config, list):
        return [short_names(item) for item in config]
    if not isinstance(config, dict):
        return config
    short = {key: short_names(value) for key, value in config.items()}
    if str(short.get("class_path", "")).startswith("blockyard."):
        short["class_path"] = short["class_path"].rpartition(".")[2]
    return short
