"""What a training begins with, where that is the network of another run of the suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blockyard.composing.composition import read_checkpoint
from blockyard.leaderboard.identity import PARENT, WEIGHTS, identity, parent_of


@dataclass(frozen=True)
class Beginning:
    """Weights of another run.

    Attributes:
        run: Its hash.
        weights: The checkpoint.
    """

    run: str
    weights: Path

    @property
    def directory(self) -> Path:
        """The folder of the run."""
        return self.weights.parent.parent


def begins_with(config: Mapping[str, Any]) -> Beginning | None:
    """What a configuration says that its network begins with; None where it is no other run's.

    Raises:
        ValueError: If what it says is malformed.
    """
    parent, weights = parent_of(config), _weights(config)
    if parent is None or "step" in parent or not weights:
        return None
    return Beginning(parent["run"], Path(weights))


def still_begun(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of the run that the network begins with, as long as the weights are those of the file."""
    same = begins_with(before) and _weights(before) == _weights(now)
    return {PARENT: before[PARENT]} if same else {}


def refuse_other_weights(config: Mapping[str, Any]) -> None:
    """Look whether a network begins with what its configuration says.

    Raises:
        ValueError: If the weights are of another run, or there are none.
    """
    said = begins_with(config)
    if said and (found := identity(read_checkpoint(said.weights)).run) != said.run:
        raise ValueError(f"{said.weights} is of run {found}; the configuration begins with run {said.run}")


def _weights(config: Mapping[str, Any]) -> str | None:
    node: Any = config
    for key in WEIGHTS.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None  # a class may stand there by its name alone
    return node if isinstance(node, str) else None
