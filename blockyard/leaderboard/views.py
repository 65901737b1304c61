"""How many views of a sample a test averages, where its options say so, and what they cost beside one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = 5
"""Of the rows that a note is about, so many are named."""


def views_of(config: Mapping[str, Any]) -> tuple[int, float]:
    """Views of a sample, and the multiply–accumulates of all as a multiple of those of one.

    A view at a scale of height and width costs its square, which holds for networks of convolutions.

    Args:
        config: Of a run.
    """
    model, data = ((config.get(section) or {}).get("init_args") or {} for section in ("model", "data"))
    scales = model.get("scales") or [1.0]
    times = (2 if model.get("flip_test") else 1) * (data.get("clips") or 1) * (data.get("crops") or 1)
    return times * len(scales), times * float(sum(scale**2 for scale in scales))


def views_notes(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Which rows are tested on several views of a sample, while costs are of one; a line for each number of them.

    Args:
        rows: Name to the configuration of a run.
    """
    kinds: dict[str, list[str]] = {}
    for name, config in rows.items():
        views, cost = views_of(config)
        said = f"{views} views of a sample, {cost:.3g} times the MACs of one" if views > 1 else ""
        if ((config.get("model") or {}).get("init_args") or {}).get("inference") == "slide":
            said = f"{said or 'a sample'}, window by window"
        kinds.setdefault(said, []).append(name)
    return [
        f"Tests average {said}{'' if len(kinds) == 1 else f': {_listed(names)}'}; parameters, MACs and speed are those "
        "of one."
        for said, names in kinds.items()
        if said
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
