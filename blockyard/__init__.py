"""Drop any published block into any network with one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blockyard.version import __version__

if TYPE_CHECKING:
    from blockyard.plugging import plug

__all__ = ["__version__", "plug"]


def __getattr__(name: str) -> Any:
    """Import ``plug``, and with it torch, on first use only: ``blockyard --version`` answers at once."""
    if name == "plug":
        from blockyard.plugging import plug

        return plug
    raise AttributeError(f"module 'blockyard' has no attribute {name!r}")
