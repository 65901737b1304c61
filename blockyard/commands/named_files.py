"""The files that a command line names, looked for before torch comes, which takes seconds; no torch."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from blockyard.composing.composition import look_for_files, read_config
from blockyard.leaderboard.record import read


def look(verb: str, options: Namespace, rest: list[str]) -> None:
    """Refuse a command line that names a file which is not there or can't be read, as the verb itself would.

    Args:
        verb: Its name.
        options: Its own options.
        rest: The other command line tokens.

    Raises:
        ValueError: If a record, a study, a configuration, a checkpoint or what is to be predicted is missing; the first
            three are read too. One line.
    """
    for option in ("input", "gallery"):
        for path in getattr(options, option, ()) if verb == "predict" else ():
            if not Path(path).exists():
                raise ValueError(f"predict: --{option} {path}: there is no such file or folder")
    if verb == "leaderboard verify":
        read(options.record)
    if verb == "study":
        if all(token.startswith("--") for token in rest[:1]):  # a second study is told of first
            read_config(options.study)
        return  # which names the configurations
    own = ["--ckpt_path", str(options.ckpt_path)] if "ckpt_path" in options else []
    look_for_files(own if verb == "leaderboard verify" else [*own, *rest])  # which takes no configuration
