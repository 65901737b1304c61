"""Docstrings as Markdown: they are written for Sphinx's roles, literals and tables."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
LITERAL = re.compile(r"``(.+?)``")
TABLE = re.compile(r"^=+ +=+\n.*?^=+ +=+$", re.DOTALL | re.MULTILINE)


def plain(docstring: str) -> str:
    """A docstring without roles, with literals as Markdown writes them and tables as they are."""
    tables = iter(TABLE.findall(docstring))
    text = LITERAL.sub(r"`\1`", ROLE.sub(r"`\1`", TABLE.sub("\0", docstring)))
    return re.sub("\0", lambda _: f"```text\n{next(tables)}\n```", text)


class PlainMarkdown(Extension):
    """Hands docstrings on as Markdown; mkdocs.yml names it."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            obj.docstring.value = plain(obj.docstring.value)
