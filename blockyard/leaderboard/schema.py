"""The format of a record as JSON Schema, for those who read or write records without this package.

``record.schema.json`` beside this file is what ``python -m blockyard.leaderboard.schema`` prints. It says of a field
what a schema can say; :mod:`blockyard.leaderboard.validation` and the configuration, from which the hashes and names
have to follow, say the rest.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from blockyard.leaderboard.record import Record
from blockyard.leaderboard.validation import FIELDS, FRACTIONS, LATER, OMITTED, SCHEMA, Rule

PATH = Path(__file__).with_name("record.schema.json")
"""The published schema."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, from :data:`~blockyard.leaderboard.validation.FIELDS` and the documentation of :class:`Record`."""
    words = _descriptions()
    return {
        "$schema": DIALECT,
        "title": f"Record of a blockyard run, version {SCHEMA}",
        "description": "One trained and tested network.",
        "type": "object",
        "required": [name for name in FIELDS if name not in (*LATER, *OMITTED)],
        "additionalProperties": False,
        "properties": {name: {"description": words[name], **_values(rule)} for name, rule in FIELDS.items()},
        "if": {"required": ["scales"]},
        "else": {"properties": {"metrics": {"type": "object", "patternProperties": FRACTIONS}}},
    }


def _values(rule: Rule) -> dict[str, Any]:
    return {"anyOf": [rule.schema, {"type": "null"}]} if rule.optional else dict(rule.schema)


def _descriptions() -> dict[str, str]:
    """Name to text of the attributes in the docstring of :class:`Record`."""
    _, _, attributes = inspect.getdoc(Record).partition("Attributes:\n")  # type: ignore[union-attr]
    entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.replace("``", "").split()) for name, text in entries}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1, ensure_ascii=False))
