"""Write docs/systems.md, the published systems of docs/systems.yaml, from that file and the committed records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from blockyard import backbones
from blockyard.commands.catalogue import published

ROOT = Path(__file__).parents[1]
LIST = ROOT / "docs" / "systems.yaml"
PAGE = ROOT / "docs" / "systems.md"
NETWORKS = ROOT / "blockyard" / "configs"
HEADER = """\
# The published systems

{all} published systems work: a line reaches each, and a test checks it exactly. The page is made from
[systems.yaml](systems.yaml) and the committed records (`make docs`); a test says that its tests and classes exist.

A line that begins with an option goes after that of a task and its data, such as
`blockyard fit --config image_classification/digits.yaml`; a file of `networks/` or `heads/` comes after the
configuration of a data set. Networks of published size are for pictures of 224 pixels, not for the 28 of `digits.yaml`:
`--config image_classification/image_folder.yaml --data.root DIR` takes a folder of your own.

"On record": committed runs whose configuration names the block, or the network where no run does, on the small data
that ship; for what is no part of a training, the file with its figures.
[blocks.md](blocks.md) has options, parameters and multiplications.
"""
Entry = dict[str, str]


def entries() -> list[Entry]:
    """What the list says of each system."""
    found: list[Entry] = yaml.safe_load(LIST.read_text())
    return found


def classes(entry: Entry) -> set[str]:
    """The names in the way to a system, and in the configuration that it names, that may be those of classes."""
    text = entry.get("reach", "")
    for name in re.findall(r"--config (\S+)", text):
        text += (NETWORKS / name).read_text()
    return set(re.findall(r"\b[A-Z]\w+\b", text))


def runs(kinds: Sequence[str]) -> dict[str, int]:
    """How many of the committed records name each class, or say each word."""
    found = dict.fromkeys(kinds, 0)
    for path in (ROOT / "leaderboard").rglob("*.json"):
        named = {word.rpartition(".")[2] for word in _words(json.loads(path.read_text()).get("config"))}
        for kind in named & found.keys():
            found[kind] += 1
    return found


def page() -> str:
    """The page."""
    listed = entries()
    told = {word for entry in listed for word in entry.get("record", "").split()}
    counted = runs(sorted(set.union(*map(classes, listed)) & (published_names() | networks()) | told))
    rows = [
        [
            f"**{entry['name']}**: {entry['is']}. {entry['paper']}",
            f"`{entry['reach']}`",
            f"{entry['check']}: {_link(entry['test'])}",
            _on_record(entry, counted),
        ]
        for entry in listed
    ]
    table = [["System", "How it is reached", "Exact check", "On record"], ["---"] * 4, *rows]
    return HEADER.format(all=len(listed)) + "\n".join(["", *(f"| {' | '.join(row)} |" for row in table), ""])


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def published_names() -> set[str]:
    """The names of this package's classes that have a paper."""
    return {kind.__name__ for kind in published() if kind.__module__.startswith("blockyard.")}


def _on_record(entry: Entry, runs_of: dict[str, int]) -> str:
    """The runs of what the list says, or of a system's blocks, or of its networks where no run has one; or a file."""
    told = entry.get("record", "")
    if "/" in told:
        return f"[{Path(told).name}](../{told})"
    if told:
        return str(sum(runs_of[word] for word in told.split()))
    blocks, own = (sum(runs_of[kind] for kind in classes(entry) & names()) for names in (published_names, networks))
    return str(blocks or own)


def networks() -> set[str]:
    """The names of this package's own networks."""
    kinds = [kind for kind in vars(backbones).values() if isinstance(kind, type)]
    return {kind.__name__ for kind in kinds if kind.__module__.startswith("blockyard.backbones.skeletons.")}


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _words(item)


if __name__ == "__main__":
    PAGE.write_text(page())
