"""What ``predict`` does with files that can't be read, and where it writes what it found."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from blockyard.datamodules.loading import Split
from blockyard.leaderboard.validation import cell

TABLES = (".csv", ".jsonl")
"""How the name of a table ends: comma-separated values, or a JSON object a line."""
NAMED = 20
"""Of the files that could not be read, so many are named."""


def table_at(place: Path, name: str) -> Path:
    """Where a table goes: to ``place`` if that is the name of one, else to ``name`` in that folder."""
    return place if place.suffix.lower() in TABLES else place / name


def table(columns: Mapping[str, int], rows: Iterable[Sequence[Any]], path: Path) -> bytes:
    """The content of a table, as the name of its file asks for it.

    Args:
        columns: Their names, and with how many decimals floats in them are written.
        rows: Text, numbers, or None for a cell without a value.
        path: The file.
    """
    digits = list(columns.values())
    if path.suffix.lower() == ".jsonl":
        kept = ([_rounded(*pair) for pair in zip(row, digits, strict=True)] for row in rows)
        lines = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in kept]
        # what is no text in a file's name becomes an escape of JSON
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(*pair) for pair in zip(row, digits, strict=True)] for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _rounded(value: Any, digits: int) -> Any:
    return round(value, digits) if isinstance(value, float) else value


def _cell(value: Any, digits: int) -> Any:
    return "" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else cell(value)


def only_valid(batch: Any) -> Any:
    """The samples of a batch that could be read; each entry is a tensor ``(B, …)`` or a list of B."""
    valid = batch.get("valid")
    if valid is None or bool(valid.all()):
        return batch
    kept = valid.nonzero().flatten().tolist()
    return {
        name: [value[row] for row in kept] if isinstance(value, list) else value[kept] for name, value in batch.items()
    }


def of_all_processes(trainer: Trainer, mine: Any) -> list[Any]:
    """What each process has, in the order of their ranks."""
    if trainer.world_size == 1:
        return [mine]
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, mine)
    return parts


def tell_unread(split: Split, unread: Sequence[int], asked: int) -> None:
    """Name what could not be read; every process may call it, the first one speaks.

    Args:
        split: What was read.
        unread: Positions in its ``names``.
        asked: How many there were to read.

    Raises:
        ValueError: If that is all of them; one line, with the reason of the first.
    """
    if not unread:
        return
    names = ", ".join(split.names[position] for position in unread[:NAMED]) + (", …" if len(unread) > NAMED else "")
    reason = split.problem(unread[0]) or "it could not be decoded"
    if len(unread) == asked:
        raise ValueError(f"none of {asked} could be read, so nothing is written: {names}; the first: {reason}")
    rank_zero_warn(f"{len(unread)} of {asked} could not be read: {names}; the first: {reason}")
