"""Records of runs in, tables out; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blockyard.leaderboard.command import main

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    """Import the tables and the page on first use only: a training needs the identity of its run and no more."""
    if name == "main":
        from blockyard.leaderboard.command import main

        return main
    raise AttributeError(f"module 'blockyard.leaderboard' has no attribute {name!r}")
