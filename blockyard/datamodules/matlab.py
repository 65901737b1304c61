"""MATLAB's .mat files, which are not trusted: nothing but numbers and text is taken from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import DataError


def read_table(path: Path, name: str, hint: str) -> NDArray[np.int64]:
    """Read a matrix of whole numbers of a .mat file up to version 7, as int64: theirs may be unsigned and narrow.

    Args:
        path: The file.
        name: What the matrix is called in it.
        hint: Where to get a file that is missing.

    Returns:
        ``(rows, columns)``.

    Raises:
        DataError: If the file is missing or damaged or has no such matrix, or if scipy is not installed.
    """
    table = _load(path, name, hint)
    if not isinstance(table, np.ndarray) or table.dtype.kind not in "iuf" or table.ndim != 2:
        raise DataError(f"{path}: a matrix of numbers called {name} expected")
    with np.errstate(invalid="ignore"):  # NaN, and what is beyond int64, is none of them
        whole = table.astype(np.int64)
    if not (whole == table).all():
        raise DataError(f"{path}: {name} must hold whole numbers")
    return whole


def read_array(path: Path, name: str, axes: int, hint: str) -> NDArray[np.float32]:
    """Read an array of real numbers of a .mat file up to version 7.

    Args:
        path: The file.
        name: What the array is called in it.
        axes: How many axes it has.
        hint: Where to get a file that is missing.

    Returns:
        The array, float32.

    Raises:
        DataError: If the file is missing or damaged or has no such array, or if scipy is not installed.
    """
    array = _load(path, name, hint)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf" or array.ndim != axes:
        raise DataError(f"{path}: an array of numbers of {axes} axes called {name} expected")
    return array.astype(np.float32, copy=False)


def read_records(path: Path, name: str, fields: Sequence[str], hint: str) -> list[tuple[Any, ...]]:
    """Read some fields of an array of structures, of a .mat file up to version 7: text and numbers.

    Args:
        path: The file.
        name: What the array is called in it.
        fields: What to take.
        hint: Where to get a file that is missing.

    Returns:
        One tuple a structure, in the order of ``fields``.

    Raises:
        DataError: If the file is missing or damaged or has no such array, or if scipy is not installed.
    """
    records = _load(path, name, hint, squeeze_me=True)
    if not isinstance(records, np.ndarray) or not set(fields) <= set(records.dtype.names or ()):
        raise DataError(f"{path}: structures called {name} with {', '.join(fields)} expected")
    rows = [tuple(record[field] for field in fields) for record in records.ravel()]
    if not all(isinstance(value, str | int | float | np.number) for row in rows for value in row):
        raise DataError(f"{path}: {', '.join(fields)} of {name} must be text or numbers")
    return rows


def _load(path: Path, name: str, hint: str, **options: Any) -> Any:
    if not path.is_file():
        raise DataError(f"{path} is missing: {hint}")
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError(f"{path}: reading it needs scipy, which is not installed: pip install scipy") from error
    try:
        return loadmat(path, variable_names=[name], **options).get(name)
    except Exception as error:  # a damaged file can raise anything
        raise DataError(f"{path} is damaged ({' '.join(str(error).split())}): {hint}") from error
