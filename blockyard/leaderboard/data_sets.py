"""Which data a table is about, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blockyard.leaderboard.identity import fingerprints_of
from blockyard.leaderboard.record import Record
from blockyard.mistakes import printable

PUBLISHED = {
    "4a7f146b20bdfe6b": "CIFAR10",
    "24a04b421fe60991": "CIFAR100",
    "17ca142c2f3d10a4": "Digits",
    "549b5112cd394bbf": "Digits 8×8",
    # those that are made on first use, as made by default
    "c5e37125fa23bf8a": "HumanActions",
    "61b64801f49aeb43": "Scenes",
    "9e3c92cafc75cc15": "SpokenCommands",
    "1a087d6fbc20ef48": "Walkers",
    "afa9229a8459b39a": "WalkersVideo",
}
"""Fingerprint of a test split to the set that it is of, wherever it lies and whatever class read it."""
SHOWN = 8
"""Digits of a fingerprint that a title has."""


def tested_data(record: Record) -> tuple[str, str]:
    """What tells test sets apart, by fingerprints of classes and samples; empty in records that do not say."""
    said = fingerprints_of(record.config)
    return said.get("classes", ""), said.get("test", "")


def data_title(records: Sequence[Record]) -> str:
    """What the data of records of one test set are called."""
    said = fingerprints_of(records[0].config)
    test = said.get("test", "")
    if test in PUBLISHED:
        return PUBLISHED[test] if PUBLISHED[test] == records[0].data else f"{records[0].data} ({PUBLISHED[test]})"
    names = sorted({name for record in records if (name := _given_name(record))})
    title = " / ".join(names) or records[0].data
    return f"{title} (data {(test or said.get('classes', ''))[:SHOWN]})" if said else title


def data_notes(records: Sequence[Record]) -> list[str]:
    """How it is known which data these are."""
    said = fingerprints_of(records[0].config)
    if not said:
        return ["Data: these records do not say which samples they are of."]
    test = said.get("test", "unknown")
    known = f", as published ({PUBLISHED[test]})" if test in PUBLISHED else ""
    of = {"names": "names and labels", "contents": "names, labels and contents"}[said["of"]]
    classes = f"; class names {said['classes']}" if "classes" in said else ""
    return [f"Data: test split {test}{known}, by {of}{classes}."]


def _given_name(record: Record) -> str | None:
    options: Any = record.config["data"].get("init_args") or {}
    name = options.get("name")
    return printable(name)[:60] if isinstance(name, str) else None
