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

{there} of {all} published systems work: a line reaches each, and a test checks it exactly. The page is made from
[systems.yaml](systems.yaml) and the committed records (`make docs`); a test says that its tests and classes exist.

## Those that work

"On record": committed runs whose configuration names the block, or the network where no run does, on the small data
that ship.
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
    """How many of the committed records name each class."""
    found = dict.fromkeys(kinds, 0)
    for path in (ROOT / "leaderboard").rglob("*.json"):
        named = {name.rpartition(".")[2] for name in _class_paths(json.loads(path.read_text()).get("config"))}
        for kind in named & found.keys():
            found[kind] += 1
    return found


def page() -> str:
    """The page."""
    listed = entries()
    there, missing = [e for e in listed if "reach" in e], [e for e in listed if "reach" not in e]
    counted = runs(sorted(set.union(*map(classes, there)) & (published_names() | networks())))
    works = [
        [
            f"**{e['name']}**: {e['is']}. {e['paper']}",
            f"`{e['reach']}`",
            f"{e['check']}: {_link(e['test'])}",
            str(_counted(e, counted) or "–"),
        ]
        for e in there
    ]
    rest = [[e["name"], e["is"], e["paper"]] for e in missing]
    return "\n".join(
        [
            HEADER.format(there=len(there), all=len(listed)),
            _table(["System", "How it is reached", "Exact check", "On record"], works),
            "\n## Those not there yet\n",
            _table(["System", "What it is", "Paper"], rest),
            "",
        ]
    )


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def published_names() -> set[str]:
    """The names of this package's classes that have a paper."""
    return {kind.__name__ for kind in published() if kind.__module__.startswith("blockyard.")}


def _counted(entry: Entry, runs_of: dict[str, int]) -> int:
    """The runs of a system's blocks, or of its networks where no run has a block of it."""
    blocks, own = (sum(runs_of[kind] for kind in classes(entry) & names()) for names in (published_names, networks))
    return blocks or own


def networks() -> set[str]:
    """The names of this package's own networks."""
    kinds = [kind for kind in vars(backbones).values() if isinstance(kind, type)]
    return {kind.__name__ for kind in kinds if kind.__module__.startswith("blockyard.backbones.skeletons.")}


def _class_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("class_path", "block") and isinstance(item, str):
                yield item
            yield from _class_paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _class_paths(item)


if __name__ == "__main__":
    PAGE.write_text(page())
