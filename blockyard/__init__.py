"""Drop any published block into any network with one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockyard.version import __version__

if TYPE_CHECKING:
    from blockyard.plugging import merge, plug

__all__ = ["__version__", "merge", "plug"]


def __getattr__(name: str) -> Any:
    """Import ``plug``, and with it torch, on first use only: ``blockyard --version`` answers at once."""
    if name in ("merge", "plug"):
        from blockyard import plugging

        return getattr(plugging, name)
    raise AttributeError(f"module 'blockyard' has no attribute {name!r}")
