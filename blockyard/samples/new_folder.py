"""A folder of sample data is there whole, made by one recipe, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blockyard.mistakes import DataError
from blockyard.progress import at_work
from blockyard.unfinished import beside

RECIPE = "recipe.json"
"""File that says what a data set is a function of."""


@contextmanager
def new_folder(root: Path, recipe: dict[str, Any]) -> Iterator[Path | None]:
    """A folder to write into, which becomes ``root`` when all is written, or is gone.

    Args:
        root: Folder of the data set.
        recipe: What the data set is a function of; kept in it.

    Yields:
        Where to write; None if ``root`` was made by this recipe before.

    Raises:
        DataError: If ``root`` holds anything else.
    """
    if is_finished(root, recipe):
        yield None
        return
    temporary = beside(root)
    try:
        temporary.mkdir(parents=True)
        with at_work(f"writing {root}"):
            yield temporary
        (temporary / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n")
        try:
            temporary.rename(root)  # onto nothing or an empty folder, never onto a full one
        except OSError:
            if not is_finished(root, recipe):  # another process was first with the same
                raise
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(root)) from error  # not the folder that is gone in a moment
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_finished(root: Path, recipe: dict[str, Any]) -> bool:
    """Whether ``root`` was made by this recipe.

    Raises:
        DataError: If it was made by another one, or is not one of these data sets.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / RECIPE).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{root} exists and was not written by this generator: choose another folder") from error
    recipe = json.loads(json.dumps(recipe))  # where a tuple is a list
    if found != recipe:
        differing = sorted(key for key in recipe.keys() | found.keys() if recipe.get(key) != found.get(key))
        raise DataError(f"{root} was written with another {', '.join(differing)}: remove it or choose another folder")
    return True
