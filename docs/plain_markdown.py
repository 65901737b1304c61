"""Docstrings as Markdown: they are written for Sphinx's roles, literals and tables."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
LITERAL = re.compile(r"``(.+?)``", re.DOTALL)
TABLE = re.compile(r"^=+ +=+\n.*?^=+ +=+$", re.DOTALL | re.MULTILINE)


def plain(docstring: str) -> str:
    """A docstring without roles, with literals as Markdown writes them and a list in place of a table."""
    return LITERAL.sub(r"`\1`", ROLE.sub(r"`\1`", TABLE.sub(_listed, docstring)))


def _listed(table: re.Match[str]) -> str:
    """The rows of a table of two columns, whose second may go on in the next line."""
    rows: list[str] = []
    for line in table[0].splitlines()[1:-1]:
        if line.startswith(" "):
            rows[-1] += f" {line.strip()}"
        else:
            rows.append("- {}: {}".format(*re.split(r"\s{2,}", line, maxsplit=1)))
    return "\n".join(rows)


class PlainMarkdown(Extension):
    """Hands docstrings on as Markdown; mkdocs.yml names it."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)
