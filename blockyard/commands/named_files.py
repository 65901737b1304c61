"""The files that a command line names, looked for before torch comes, which takes seconds; no torch."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from blockyard.composing.composition import look_for_files
from blockyard.composing.config_files import read_config
from blockyard.leaderboard.record import read


def look_for_suggestion(options: Namespace) -> None:
    """Refuse a folder that is not there, weights that are not, and to write over a file.

    Raises:
        ValueError: One line.
    """
    if not options.root.is_dir():
        raise ValueError(f"{options.root} is missing: --data.root is a folder")
    if options.output.exists():
        raise ValueError(f"{options.output} is there already: choose another --output, or remove it")
    if options.weights is not None and not options.weights.is_file():
        raise ValueError(f"--weights {options.weights}: there is no such file")
    if options.steps < 1:
        raise ValueError(f"suggest: --steps {options.steps} must be at least 1")


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
    if verb == "suggest":
        look_for_suggestion(options)
    own = ["--ckpt_path", str(options.ckpt_path)] if "ckpt_path" in options else []
    look_for_files(own if verb == "leaderboard verify" else [*own, *rest])  # which takes no configuration
