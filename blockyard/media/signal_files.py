"""Reading of files of series: numbers over time, a column a channel."""

from __future__ import annotations

import csv
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import DataError

Values = NDArray[Any]
"""Numbers ``(T, C)``: a row a moment, a column a channel."""

TIME, RATE, NAMES = "time", "rate", "channels"
"""Columns, and arrays of an npz file, that are no channel: seconds, rate in Hz, and what the channels are called."""
UNEVEN = 0.5
"""Of the mean step of time, by which a step may differ from it: clocks round and hesitate, but lose no sample."""
REFUSED = re.compile(r"could not convert string '(.*)' to float(?:32|64) at row (\d+), column (\d+)", re.DOTALL)
RAGGED = re.compile(r"number of columns changed from (\d+) to (\d+) at row (\d+)")
"""What numpy says of a cell that is no number, rows from 0 and columns from 1, and of a row, from 1, of another length.
"""


class SignalError(DataError):
    """A file of series can't be read; the message names it and is one line."""


@dataclass(frozen=True)
class Signal:
    """A recording.

    Attributes:
        values: ``(T, C)``, numbers of any kind; those of an npy file stay on disk until they are asked for.
        names: Of the channels; empty where the file has none.
        rate: In Hz; None where the file does not say.
    """

    values: Values
    names: tuple[str, ...] = ()
    rate: float | None = None


def read_signal(path: Path) -> Signal:
    """Read a recording.

    A column called ``time`` holds seconds, and tells the rate; one called ``rate`` the rate in Hz, the same in every
    row. An npz file has one array of series, of one or two axes, and may have ``rate`` and ``channels``, names.
    Nothing in a file is executed: pickled objects are refused.

    Args:
        path: A file of one of :data:`READERS`.

    Raises:
        SignalError: If it is missing, damaged, or holds something else.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise SignalError(f"{path}: no kind of series that is read; allowed: {', '.join(READERS)}")
    try:
        signal = read(path)
    except SignalError:
        raise
    except Exception as error:  # a damaged file makes numpy, zipfile and pyarrow raise what their insides do
        raise SignalError(_explain(path, error)) from error
    if signal.values.dtype.kind not in "fiub":
        raise SignalError(f"{path}: holds {signal.values.dtype}, no real numbers")
    if not signal.values.size:
        raise SignalError(f"{path}: no sample in it")
    if signal.rate is not None and not (math.isfinite(signal.rate) and signal.rate > 0):
        raise SignalError(f"{path}: a rate of {signal.rate:g} Hz")
    return signal


def check_finite(path: Path, values: Values, names: Sequence[str], first: int = 0) -> None:
    """Make sure that all is there.

    Args:
        path: The file.
        values: Rows of it ``(n, C)``.
        names: What their columns are called.
        first: Position in the file of the first of them.

    Raises:
        SignalError: If a value is missing or infinite; says which.
    """
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        told, more = "missing" if np.isnan(values[row, column]) else "infinite", (~finite).sum() - 1
        others = f", and {more} more" if more else ""
        raise SignalError(f"{path}: sample {first + row} of channel {names[column]} is {told}{others}")


def _read_npy(path: Path) -> Signal:
    return Signal(_as_columns(path, np.load(path, mmap_mode="r", allow_pickle=False)))


def _read_npz(path: Path) -> Signal:
    with np.load(path, allow_pickle=False) as arrays:
        series = [name for name in arrays.files if name not in (RATE, NAMES)]
        if len(series) != 1:
            found = ", ".join(arrays.files) or "none"
            raise SignalError(f"{path}: one array of series expected beside {RATE} and {NAMES}, found {found}")
        values = _as_columns(path, arrays[series[0]])
        rate = float(arrays[RATE].reshape(())) if RATE in arrays.files else None
        names = tuple(map(str, arrays[NAMES].ravel())) if NAMES in arrays.files else ()
    if names and len(names) != values.shape[1]:
        raise SignalError(f"{path}: {len(names)} names of {values.shape[1]} channels")
    return Signal(values, names, rate)


def _as_columns(path: Path, values: Values) -> Values:
    if values.ndim not in (1, 2):
        raise SignalError(f"{path}: an array of {values.ndim} axes, where time and channels were expected")
    return values[:, None] if values.ndim == 1 else values


def _read_csv(path: Path) -> Signal:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        first = lines.readline()
        if not first.strip():
            raise SignalError(f"{path}: empty file" if not path.stat().st_size else f"{path}: line 1 is empty")
        header = [_column_name(cell) for cell in next(csv.reader([first], skipinitialspace=True))]
        if len(header) == 1 and (other := re.search(r"[;\t|]", first)):
            raise SignalError(f"{path}: columns are separated by commas, not by {other[0]!r}, as in {first.strip()!r}")
        named = not all(map(_is_number, header))
        try:
            rest = lines if named else chain([first], lines)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "loadtxt: input contained no data")
                values = np.loadtxt(rest, np.float64 if TIME in header else np.float32, None, ",", ndmin=2)
        except ValueError as error:
            raise SignalError(_explain_text(path, header, 1 + named, str(error))) from error
    if not named or not values.size:
        return Signal(values)
    if values.shape[1] != len(header):
        raise SignalError(f"{path}: line 1 has {len(header)} columns, line 2 has {values.shape[1]}")
    return _of_columns(path, dict(zip(header, values.T, strict=False)), header)


def _read_parquet(path: Path) -> Signal:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise SignalError(f"{path}: Parquet needs pyarrow: pip install 'blockyard[parquet]'") from error
    table = parquet.read_table(path)
    columns = {_column_name(name): table.column(name).to_numpy() for name in table.column_names}
    return _of_columns(path, columns, [*map(_column_name, table.column_names)])


def _of_columns(path: Path, columns: Mapping[str, Values], header: Sequence[str]) -> Signal:
    """Channels and rate of columns by name."""
    names = tuple(name for name in header if name not in (TIME, RATE))
    if twice := {name for name in names if header.count(name) > 1}:
        raise SignalError(f"{path}: two columns are called {min(twice)!r}")
    if "" in names:
        raise SignalError(f"{path}: column {header.index('')} has no name; if it counts the rows, leave it out")
    if not names:
        raise SignalError(f"{path}: no channel beside {', '.join(header)}")
    values = np.stack([columns[name] for name in names], axis=1)
    rate = None
    if RATE in columns and len(values):
        rate = float(columns[RATE][0])
        if (columns[RATE] != rate).any():
            raise SignalError(f"{path}: the column {RATE} is not the same in every row")
    elif TIME in columns and len(values) > 1:
        rate = _rate_of(path, columns[TIME].astype(np.float64))
    return Signal(values, names, rate)


def _rate_of(path: Path, times: NDArray[np.float64]) -> float:
    steps = np.diff(times)
    step = float(times[-1] - times[0]) / len(steps)
    wrong = ~(np.abs(steps - step) < UNEVEN * step) | ~(steps > 0)  # so that what is no number is wrong too
    if wrong.any():
        row = int(wrong.argmax()) + 1
        raise SignalError(
            f"{path}: times are not even: {steps[row - 1]:g} s before row {row + 1}, {step:g} s on average; resample "
            "it first, or cut it where samples are missing"
        )
    return 1 / step


def _column_name(cell: str) -> str:
    """A name as it stands there; those of what is no channel in any case of letters."""
    name = cell.strip()
    return name.lower() if name.lower() in (TIME, RATE) else name


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text
    return True


def _explain_text(path: Path, header: Sequence[str], first_line: int, reason: str) -> str:
    """What numpy found wrong in a text, by the lines and columns of the file."""
    if found := REFUSED.search(reason):
        line, column = int(found[2]) + first_line, int(found[3]) - 1
        name = header[column] if first_line == 2 and column < len(header) else str(column)
        return f"{path}, line {line}, column {name}: {found[1]!r} is no number; fill in or cut out what is missing"
    if found := RAGGED.search(reason):
        return f"{path}: line {int(found[3]) + first_line - 1} has {found[2]} columns, the one before {found[1]}"
    return f"{path}: {' '.join(reason.split())}"


def _explain(path: Path, error: Exception) -> str:
    if not path.is_file():
        return f"{path} is missing"
    if not path.stat().st_size:
        return f"{path}: empty file"
    if re.search("pickle|Object arrays|Python objects", str(error)):
        with path.open("rb") as file:
            if not file.read(6).startswith((b"\x93NUMPY", b"PK\x03\x04")):
                return f"{path}: damaged, or no {path.suffix} file"
        return f"{path}: holds pickled objects, which are not read: save numbers"
    if isinstance(error, UnicodeDecodeError):
        return f"{path}: not in UTF-8 (byte {error.start}); save it anew as CSV in UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return f"{path}: {error.strerror}"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{path}: damaged ({said})" if not isinstance(error, zipfile.BadZipFile) else f"{path}: cut off or damaged"


READERS: dict[str, Callable[[Path], Signal]] = {
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
"""By the end of a file's name, in lower case, what reads it."""
