"""``blockyard configs``: the configurations and studies that ship with the package; no torch."""

from __future__ import annotations

import re
from argparse import Namespace
from fnmatch import fnmatchcase
from itertools import takewhile

from rich.console import Console
from rich.table import Table

from blockyard.composing.config_files import CONFIGS, config_names
from blockyard.mistakes import nearest


def main(options: Namespace, _: list[str]) -> int:
    """List what ``--config`` and ``study`` take, with what each says of itself.

    Args:
        options: What :func:`~blockyard.commands.package_options.configs` reads.

    Returns:
        0.

    Raises:
        ValueError: If no name matches.
    """
    glob = options.glob if "*" in options.glob else f"*{options.glob}*"
    names = [name for name in config_names() if fnmatchcase(name, glob)]
    if not names:
        raise ValueError(f"configs: nothing matches {options.glob}; {nearest(options.glob, config_names())}")
    terminal = Console(markup=False, emoji=False, highlight=False)
    if terminal.is_terminal:
        table = Table("configuration", "what it is", box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        for name in names:
            table.add_row(name, about(name))
        terminal.print(table)
    else:  # a pipe has no width: a line each
        width = max(map(len, names))
        print("\n".join(f"{name:<{width}}  {about(name)}" for name in names))
    return 0


def about(name: str) -> str:
    """What a configuration says of itself: the first sentence of the comment at its top."""
    lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
    words = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return re.split(r"(?<=(?<! al)\.) ", words, maxsplit=1)[0]
