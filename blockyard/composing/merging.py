"""Configurations laid over each other; a class takes the place of another with all its options."""

from __future__ import annotations

from typing import Any


def merge(base: Any, update: Any) -> Any:
    """``update`` laid over ``base``: mappings key by key, except that another class replaces all of the old one."""
    old, new = class_path(base), class_path(update)
    if not isinstance(base, dict) or not isinstance(update, dict):
        return update if not (isinstance(base, dict) and old and new and same_class(old, new)) else base
    if old and new and not same_class(old, new):
        return update
    return {**base, **{key: merge(base[key], value) if key in base else value for key, value in update.items()}}


def class_path(value: Any) -> str | None:
    """The class that a configuration value names, if it names one; mmsegmentation calls it ``type``."""
    if isinstance(value, dict):
        value = value.get("class_path", value.get("type"))
    return value if isinstance(value, str) else None


def same_class(one: str, other: str) -> bool:
    """Whether two class paths agree, where either may be the bare class name."""
    return one == other or (("." not in one or "." not in other) and one.split(".")[-1] == other.split(".")[-1])
