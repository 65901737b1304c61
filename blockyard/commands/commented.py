"""A configuration as YAML, with the reason of each value above it; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import yaml

from blockyard.mistakes import printable

WIDTH = 118
"""Characters of a line of reasons."""


def commented(config: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Lines of YAML.

    Args:
        config: Mappings, and at their leaves plain values, or pairs of a value and its reason.
        indent: What each line begins with.
    """
    for key, value in config.items():
        if isinstance(value, tuple):
            value, reason = value
            yield from (f"{indent}# {line}" for line in wrap(printable(reason), WIDTH - len(indent)))
            yield f"{indent}{key}: {_flow(value)}"
        elif isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from commented(value, f"{indent}  ")
        else:
            yield f"{indent}{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
