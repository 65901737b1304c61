"""Settling what a configuration says, without reading data or building a network."""

from __future__ import annotations

from typing import Any

from blockyard.composing.composition import Composed
from blockyard.composing.suite import SuiteCLI


class _Resolved(SuiteCLI):
    def instantiate_classes(self) -> None:
        """Nothing."""


def resolve(composed: Composed, trains: bool = True) -> dict[str, Any]:
    """A configuration with everything that it leaves to defaults.

    Args:
        composed: The configuration.
        trains: Whether there will be a training.

    Raises:
        ValueError: If it is wrong, one line.
    """
    return _Resolved(None, composed, trains=trains).run_config
