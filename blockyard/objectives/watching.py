"""What places of a network give while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from blockyard.plugging import named_places


@contextmanager
def watching(network: nn.Module, paths: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
    """Note what the places give, behind what is plugged in there.

    Args:
        network: Any network.
        paths: Of its places; by path, for a copy of the network has modules of its own.

    Yields:
        By path, what each run of the place gave.
    """
    seen = dict[str, list[Any]]()

    def note(path: str) -> Any:
        return lambda _, __, output: seen.setdefault(path, []).append(output)

    places = [place for path in paths for place in named_places(network, path)]
    handles = [place.module.register_forward_hook(note(place.path)) for place in places]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
