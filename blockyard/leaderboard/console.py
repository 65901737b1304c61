"""What tables are printed to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE = 240
"""Characters of a line where nothing says how wide it may be: every row stays on one."""


def console() -> Console:
    """What is printed to: as wide as the terminal, or as COLUMNS says; a file or pipe has no width."""
    from rich.console import Console  # --help and mistakes answer without it

    terminal = Console(markup=False, emoji=False)
    told = terminal.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    return terminal if told else Console(width=PIPE, markup=False, emoji=False)
