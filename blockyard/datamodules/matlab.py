"""Tables of whole numbers in MATLAB's .mat files, which are not trusted: nothing but an array is taken from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.base import DataError


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
    if not path.is_file():
        raise DataError(f"{path} is missing: {hint}")
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError(f"{path}: reading it needs scipy, which is not installed: pip install scipy") from error
    try:
        table = loadmat(path, variable_names=[name]).get(name)
    except Exception as error:  # a damaged file can raise anything
        raise DataError(f"{path} is damaged ({' '.join(str(error).split())}): {hint}") from error
    if not isinstance(table, np.ndarray) or table.dtype.kind not in "iuf" or table.ndim != 2:
        raise DataError(f"{path}: a matrix of numbers called {name} expected")
    whole = table.astype(np.int64)
    if not (whole == table).all():
        raise DataError(f"{path}: {name} must hold whole numbers")
    return whole
