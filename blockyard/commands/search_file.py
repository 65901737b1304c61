"""What a search has found so far, in a file that is whole at any moment."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blockyard import files
from blockyard.commands.search_options import STRATEGIES
from blockyard.compression.searching.front import Values, front, hypervolume
from blockyard.compression.searching.space import Code
from blockyard.mistakes import printable

Judged = dict[str, float]
"""What a network is worth and costs, by name; ``low`` and ``high`` are the ends of the accuracy's interval."""


@dataclass
class Found:
    """Candidates of one search, in a file.

    Attributes:
        path: Of the file.
        settings: What was searched, and how: another search writes another file.
        whole: The network that the search began with.
        candidates: What was judged, in order.
        calibration: How well predictors did, iteration by iteration.
    """

    path: Path
    settings: dict[str, Any]
    whole: Judged
    candidates: dict[Code, Judged] = field(default_factory=dict)
    calibration: list[dict[str, Any]] = field(default_factory=list)

    @property
    def objectives(self) -> list[str]:
        """What makes one better."""
        return list(self.settings["objectives"])

    @property
    def values(self) -> list[Values]:
        """Of the candidates, as :func:`values_of` has them."""
        return [values_of(one, self.whole, self.objectives) for one in self.candidates.values()]

    @property
    def best(self) -> list[tuple[Code, Judged]]:
        """The candidates that no other beats."""
        rows = list(self.candidates.items())
        return [rows[number] for number in front(self.values)]

    @property
    def volume(self) -> float:
        """What the front covers: the share of samples right above chance, over decades of cost below the whole's."""
        return hypervolume(self.values, reference(self.objectives, self.settings["classes"]))

    def write(self) -> None:
        """Write all of it."""
        codes = list(self.candidates)
        content = {
            "settings": self.settings,
            "whole": self.whole,
            "hypervolume": self.volume,
            "front": [codes.index(code) for code, _ in self.best],
            "calibration": self.calibration,
            "candidates": [{"code": list(code), **judged} for code, judged in self.candidates.items()],
        }
        files.write(self.path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def values_of(judged: Mapping[str, float], whole: Mapping[str, float], objectives: Sequence[str]) -> Values:
    """What is minimised: the share of samples that are wrong, and decades of cost above the whole network's.

    A network of half the cost of another is as far from it wherever that is.
    """
    return tuple(
        1 - judged[name] if name == "accuracy" else math.log10(judged[name] / whole[name]) for name in objectives
    )


def reference(objectives: Sequence[str], classes: int) -> Values:
    """Chance and the whole network's cost: what is no better counts for nothing."""
    return tuple(1 - 1 / classes if name == "accuracy" else 0.0 for name in objectives)


def opened(path: Path, settings: dict[str, Any], whole: Callable[[], Judged]) -> Found:
    """A search that goes on, or begins.

    Args:
        path: Of its file.
        settings: What is searched, and how.
        whole: Judges the network that it begins with.

    Raises:
        ValueError: If there is the file of another search; one line.
    """
    if not path.exists():
        return Found(path, settings, whole())
    there = read(path)
    for name, value in settings.items():
        if (before := there.settings.get(name)) != value:
            said = f"with {name} {_short(before)}, not {_short(value)}"
            raise ValueError(f"search: {path} was searched {said}: --output DIR writes elsewhere, or remove it")
    return there


def read(path: Path) -> Found:
    """A search that was written.

    Raises:
        ValueError: If the file is none of one; one line.
    """
    try:
        content = json.loads(path.read_text())
        candidates = {tuple(one.pop("code")): one for one in content["candidates"]}
        return Found(path, content["settings"], content["whole"], candidates, content["calibration"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"search: {path} is no file of a search: remove it, or --output DIR writes elsewhere"
        ) from error


def comparable(found: Found) -> list[Found]:
    """All searches of a folder that differ in strategy and seed alone, this one among them."""
    others = []
    for path in (path for name in STRATEGIES for path in sorted(found.path.parent.glob(f"{name}-*.json"))):
        one = read(path)
        if all(one.settings.get(name) == value for name, value in found.settings.items() if name not in OWN):
            others.append(one)
    return others


OWN = ("strategy", "seed")
"""What searches that are compared may differ in."""


def _short(value: Any) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 60 else f"{text[:57]}…"
