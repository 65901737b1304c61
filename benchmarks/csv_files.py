"""Tables of the benchmarks, as files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write(path: Path | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as CSV, where a file is asked for."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
