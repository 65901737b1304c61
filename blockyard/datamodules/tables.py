"""Tables of files and their labels that people write: CSV files, and the order of the classes in them."""

from __future__ import annotations

import csv
import re
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from blockyard.mistakes import DataError

Row = dict[str, str]
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


def columns_of(file: Path) -> frozenset[str]:
    """The columns that a table's header names; none where there is no such file, or it is no text."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return frozenset(next(csv.reader(lines), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return frozenset()


def read_rows(file: Path, restkey: str | None = None, restval: str | None = None) -> list[Row]:
    """The rows of a CSV file with a header, as :class:`csv.DictReader` has them.

    Raises:
        DataError: If it is no such file, or separated by something else than commas.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restkey=restkey, restval=restval, skipinitialspace=True)
            rows = list(reader)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not in UTF-8 (byte {error.start}); save it anew as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{file} can't be read as CSV: {error}") from error
    header = list(reader.fieldnames or ())
    if len(header) == 1 and (other := re.search(r"[;\t|]", header[0])):
        raise DataError(f"{file}: columns are separated by commas, not by {other[0]!r}, as in {header[0]!r}")
    return rows


def sorted_labels(labels: Iterable[str], file: Path) -> list[str]:
    """The different labels in order: as text, or where all are numbers as numbers, so that 2 comes before 10.

    Folder names are another matter: :func:`~blockyard.datamodules.class_folders.training_classes`.

    Raises:
        DataError: If two of them are one number, as 1 and 01.
    """
    different = sorted(set(labels))
    if not all(NUMBER.fullmatch(label) for label in different):
        return different
    spelt: dict[float, str] = {}
    for label in different:
        if (other := spelt.setdefault(float(label), label)) != label:
            raise DataError(f"{file}: labels {other!r} and {label!r} are one number; spell a class in one way")
    return [spelt[number] for number in sorted(spelt)]


def check_agreement(
    file: Path, samples: Sequence[Hashable], labels: Sequence[object], numbers: Sequence[int] | None = None
) -> None:
    """Make sure that no sample is listed under two labels; ``samples`` and ``labels`` are those of the rows.

    ``numbers`` are those of their lines; None means that they follow a header.

    Raises:
        DataError: If one is.
    """
    first: dict[Hashable, int] = {}
    for row, sample in enumerate(samples):
        before = first.setdefault(sample, row)
        if labels[before] != labels[row]:
            first_line, line = (place + 2 if numbers is None else numbers[place] for place in (before, row))
            raise DataError(
                f"{file}, lines {first_line} and {line}: one file under two labels, {labels[before]!r} and "
                f"{labels[row]!r}"
            )
