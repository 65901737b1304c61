"""Counts that a data set was published with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from blockyard.mistakes import DataError


def check_counts(place: object, found: Mapping[str, int], published: Mapping[str, int], verify: bool) -> None:
    """Compare what was found with what was published.

    Args:
        place: What a message names.
        found: Counts by name.
        published: What they must be; of what is not among them nothing is known.
        verify: Whether another count is an error; otherwise it is warned of.

    Raises:
        DataError: If a count differs.
    """
    known = [(name, count, published[name]) for name, count in found.items() if name in published]
    differing = [f"{count:,} {name}, not {expected:,}" for name, count, expected in known if count != expected]
    if not differing:
        return
    message = f"{place}: {'; '.join(differing)} as published"
    if verify:
        raise DataError(f"{message}; verify=False reads other data in the same layout")
    warnings.warn(message, stacklevel=2)
