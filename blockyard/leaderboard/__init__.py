"""Records of runs in, tables out; no torch."""

from blockyard.leaderboard.command import main

__all__ = ["main"]
