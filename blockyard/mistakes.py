"""Telling mistakes, which end in one line, from bugs, which end in a traceback; no torch."""

from __future__ import annotations

import argparse
import difflib
import errno
import inspect
import os
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

LISTED = 40
"""A message lists so many names at most."""


class ArgumentParser(argparse.ArgumentParser):
    """One that raises a mistake, named after its verb, in place of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            ValueError: Always, one line.
        """
        raise ValueError(f"{self.prog.removeprefix('blockyard ')}: {message}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Hint at the nearest choice, where argparse lists them all."""
        if action.choices is not None and value not in action.choices:
            hint = nearest(str(value), map(str, action.choices))
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}; {hint}")


def between(least: int, most: int, why: str = "") -> Callable[[str], int]:
    """A type for argparse: a whole number from ``least`` to ``most``, and why no other."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or not least <= int(text) <= most:
            because = f" ({why})" if why else ""
            raise argparse.ArgumentTypeError(f"it is a whole number from {least} to {most}{because}, not {text}")
        return int(text)

    return number


def new_file(suffix: str) -> Callable[[str], Path]:
    """A type for argparse: a file to be written, in a folder that is there, whose name ends so."""

    def file(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() != suffix or path.is_dir() or not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"it is a {suffix} file in a folder that is there, not {text}")
        return path

    return file


class DataError(ValueError):
    """A data set is missing, damaged or not what it should be; the message is one line."""

    def __init__(self, message: str) -> None:
        # A DataLoader worker wraps the message in its traceback: people need the last line alone.
        super().__init__(message.rstrip().rpartition(f"{type(self).__name__}: ")[2])


_ROOM, _RIGHTS = "make room there, or choose another folder", "choose a folder that you may use"
_PLACE, _DISK = "choose another folder or name", "look after that disk, or choose another one"
DISK = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _RIGHTS),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT), _PLACE),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), _PLACE),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV), _DISK),
}
"""What a disk or a file system says when it won't, and what can be done about it."""


def mistake_in(error: BaseException) -> BaseException | None:
    """What people can do something about, under whatever others wrapped around it; None means a bug.

    That is a ``ValueError`` for what they got wrong and a ``FloatingPointError`` for a training that diverged, both
    raised by this package's own code; what Lightning calls a misconfiguration; what a class of a library says to the
    options that a configuration gives it; and whatever a disk says that is full, read-only or otherwise won't.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ValueError | FloatingPointError) and _is_ours(cause):
            return cause
        if isinstance(cause, OSError) and cause.errno in DISK:
            return ValueError(_of_the_disk(cause))
        if said := _of_a_library(cause):
            return ValueError(said)
        cause = cause.__cause__
    return None


def _is_ours(error: BaseException) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # A data error in a DataLoader's worker is raised again by torch: its class says whose it is.
    places = (type(error).__module__, str(frames[-1].f_globals.get("__name__", "")))
    return any(place.startswith("blockyard") for place in places)


def own_code_in(error: BaseException) -> str | None:
    """Where in a package of somebody's own, named in BLOCKYARD_ALLOW, something went wrong; None if it was not there.

    It is there if no code of this package came after it: the traceback without the frames of others, in whose hands the
    error arose, or through which a training came.
    """
    allowed = {name.strip().partition(".")[0] for name in os.environ.get("BLOCKYARD_ALLOW", "").split(",")} - {""}
    frames = list(traceback.walk_tb(error.__traceback__))
    packages = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in frames]
    concerned = [name for name in packages if name in allowed or name == "blockyard"]
    if concerned[-1:] in ([], ["blockyard"]):
        return None
    own = [frame for frame, name in zip(frames, packages, strict=True) if name in allowed]
    shown = "".join(traceback.StackSummary.extract(iter(own)).format())
    said = "".join(traceback.format_exception_only(error))
    return f"in code of your own:\n{shown}{said}The whole traceback: the same line with {WHOLE}=1 in the environment"


WHOLE = "BLOCKYARD_TRACEBACK"
"""The variable of the environment that has errors in code of one's own end in the whole traceback."""
EXTRAS = {"mlflow": "mlflow", "rasterio": "geotiff", "wandb": "wandb"}
"""Packages of others, and the extra of this package's that brings each in a version that is known to work."""
LIBRARIES = ("lightning.", "timm.", "torch.")
"""Modules whose classes a configuration may name, and which say themselves what they can't do."""


def _of_a_library(error: BaseException) -> str | None:
    """What a library says to what it was given, one line; None if it is no such word."""
    text = " ".join(str(error).split())
    if type(error).__name__ == "MisconfigurationException" and type(error).__module__.startswith("lightning."):
        return f"trainer: {text}"
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    where = str(frames[-1].f_globals.get("__name__", "")) if frames else ""
    unmet = re.search(r"Requirement '([^']+)' not met", text) if isinstance(error, ImportError) else None
    lacking = lacking_package(unmet[1]) if unmet else ""
    if where.startswith("lightning.pytorch.callbacks.") and isinstance(error, RuntimeError | ValueError | ImportError):
        named = re.match(r"`(\w+)`", text)
        return f"{named[1]} {lacking}" if named and lacking else f"trainer.callbacks: {text}"
    places = [place for place, frame in enumerate(frames) if frame.f_code.co_name == "default_class_instantiator"]
    if not places or [frame.f_code.co_name for frame in frames[places[-1] + 1 :]][:1] != ["__init__"]:
        return None
    kind, options = (frames[places[-1]].f_locals.get(name) for name in ("class_type", "kwargs"))
    if not isinstance(kind, type) or not kind.__module__.startswith(LIBRARIES):
        return None
    if lacking:
        return f"{kind.__name__} {lacking}"
    given = ", ".join(f"{name}={value!r:.40}" for name, value in _chosen(kind, options or {}).items())
    said = text or traceback.extract_tb(error.__traceback__)[-1].line or type(error).__name__
    return f"{kind.__name__}({given}): {said}"


def _chosen(kind: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a class that are not at their defaults, which nobody has to be told of."""
    usual = {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}
    return {name: value for name, value in options.items() if name not in usual or value != usual[name]}


def lacking_package(requirement: str) -> str:
    """What a class lacks that needs a package, such as ``wandb>=0.12.10``."""
    package = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    wanted = f"blockyard[{EXTRAS[package]}]" if package in EXTRAS else requirement
    return f"needs {package}, which is not installed: pip install '{wanted}'"


def _of_the_disk(error: OSError) -> str:
    """Which file, why, and what to do; one line."""
    file = "an output" if error.filename is None else str(error.filename)
    said = "; ".join([f"{file}: {error.strerror}", *getattr(error, "__notes__", ()), DISK[error.errno or 0]])
    return " ".join(said.split())


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint: the nearest of ``allowed``, or all of them, up to :data:`LISTED`."""
    names = sorted(set(allowed))
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), lower, n=2, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(lower[name] for name in close)}?"
    more = f", … ({len(names)} in all)" if len(names) > LISTED else ""
    return f"allowed: {', '.join(names[:LISTED])}{more}"


def printable(text: str) -> str:
    """A text as one line without control characters, which could otherwise steer the terminal that shows it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def printable_lines(text: str) -> str:
    """A text of any number of lines without other control characters."""
    return "\n".join(map(printable, text.splitlines()))
