"""The site's page of every entry of the catalogue: formula, picture of its place, command and paper."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from latex2mathml.converter import convert
from places import picture
from plain_markdown import plain

from blockyard.commands.catalogue import SLOTS, published

DOCS = Path(__file__).parent
CATALOGUE = DOCS / "blocks.md"
FIT = "blockyard fit --config image_classification/digits.yaml"
"""Data that need no download, and a network whose stages have the paths of :data:`SLOTS`."""
OPTIONS_ALONE = """\
    options:
      members: false
      show_bases: false
      show_docstring_description: false
      show_root_toc_entry: false
"""
"""What mkdocstrings is told, so that it adds the arguments to what the page says already."""


def kinds() -> list[type[Any]]:
    """The classes of this package that the catalogue lists."""
    return [kind for kind in published() if kind.__module__.startswith("blockyard.")]


def said() -> dict[str, dict[str, Any]]:
    """What docs/entries.yaml says of each class, by its name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((DOCS / "entries.yaml").read_text())
    return found


def command(kind: type[Any], options: str = "") -> str:
    """A training with it, on data that are there.

    Args:
        kind: A class with a slot.
        options: What it needs besides.
    """
    _, how = SLOTS[kind.slot]
    return " ".join(filter(None, [FIT, options, how.replace("NAME", kind.__name__)]))


def pages() -> Iterator[tuple[str, str]]:
    """Every page, by its path in the site.

    Raises:
        ValueError: If the catalogue or docs/entries.yaml lacks an entry.
    """
    entries, catalogue = said(), CATALOGUE.read_text()
    for kind in kinds():
        if kind.__name__ not in entries:
            raise ValueError(f"docs/entries.yaml says nothing of {kind.__name__}")
        yield f"blocks/{kind.__name__}.md", page(kind, entries[kind.__name__], catalogue)


def page(kind: type[Any], entry: dict[str, Any], catalogue: str) -> str:
    """The page of one class.

    Args:
        kind: The class.
        entry: Its entry of docs/entries.yaml.
        catalogue: docs/blocks.md, which has its costs and configurations.

    Raises:
        ValueError: If the catalogue does not have it.
    """
    name = kind.__name__
    row = re.search(rf"^\| \[{name}\]\(.*?\) \| (.*) \|$", catalogue, re.MULTILINE)
    section = re.search(rf"^## {name}\n(.*?)(?=^#|\Z)", catalogue, re.DOTALL | re.MULTILINE)
    if row is None or section is None:
        raise ValueError(f"docs/blocks.md does not list {name}: make docs")
    networks = [line.removeprefix("- ") for line in section[1].splitlines() if ": `--config" in line]
    drawn = picture(name, entry["place"], entry.get("stages", ()))
    head = ("Year", "Slot", "Ranks", "Parameters", "MACs", "Identity at first")
    lines = [
        f"# {name}\n",
        formula(entry["formula"]),
        f'<p class="symbols">{_indexed(entry["symbols"])}.</p>\n',
        f"{_description(kind)}\n",
        f"**Paper:** {kind.paper}\n",
        f"## Where it sits\n\n{drawn}\n\n{entry['where'][0].upper()}{entry['where'][1:]}.\n",
        f"## Plug it in\n\n```sh\n{_broken(command(kind, entry.get('options', '')))}\n```\n",
        *(["As its paper has it:\n", *map(_network, networks)] if networks else []),
        "## What it costs\n",
        f"| {' | '.join(head)} |\n| --- | --- | --- | --: | --: | --- |\n| {row[1]} |\n",
        "With its defaults, for a map of 256×28×28; [all blocks](../blocks.md).\n",
        f"## Options\n\n::: {kind.__module__}.{name}\n{OPTIONS_ALONE}",
    ]
    return "\n".join(lines)


def formula(lines: list[str]) -> str:
    """Formulas in LaTeX as MathML, which browsers draw without a script, one below the other."""
    drawn = "\n".join(convert(line, display="block") for line in lines)
    return f'<div class="formula">\n{drawn}\n</div>\n'


def _network(line: str) -> str:
    """A line of the catalogue on a configuration, with its command as one to copy."""
    what, _, options = line.partition(": `")
    fit = _broken("blockyard fit " + options.rstrip("`"), indent=4)
    return f"- {what}:\n\n    ```sh\n    {fit}\n    ```\n"


def _broken(line: str, indent: int = 0) -> str:
    """A command line with each option on a line of its own, as a shell takes it."""
    return line.replace(" --", f" \\\n{' ' * (indent + 2)}--")


def _indexed(symbols: str) -> str:
    """A sentence with its indices, as in ``W_q``, as HTML writes them."""
    return re.sub(r"(\w)_(\w+)", r"\1<sub>\2</sub>", html.escape(symbols))


def _description(kind: type[Any]) -> str:
    """The docstring up to its arguments."""
    return plain(
        re.split(r"^(?:Args|Raises|Attributes):$", inspect.getdoc(kind) or "", maxsplit=1, flags=re.MULTILINE)[0]
    )


def without_sections(catalogue: str) -> str:
    """The page of all blocks without what each one's own page has."""
    for kind in kinds():
        name = kind.__name__
        catalogue = catalogue.replace(f"](#{name.lower()})", f"](blocks/{name}.md)")
        catalogue = re.sub(rf"^## {name}\n.*?(?=^#|\Z)", "", catalogue, flags=re.DOTALL | re.MULTILINE)
    return catalogue
