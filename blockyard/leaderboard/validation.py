"""What the fields of a record may hold."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from blockyard.metrics import LARGEST, UNIT, Metric, is_number, metric_named

SCHEMA = 2
"""Version of the format."""
SCHEMAS = (1, 2)
"""Those that are read. The first had no fingerprints of data, and not the fields of :data:`LATER`."""
LATER = ("planned_steps", "complete", "checkpoint", "batch_norm")
"""Fields that the second version brought."""
OMITTED = ("scales", "bytes")
"""Fields that a record does not have where they are empty."""
CHECKPOINTS = ("best", "last", "other")

MEMORY_KINDS = ("cuda", "process RSS")
DEEPEST = 50
"""Levels of mappings and lists that a configuration may have."""


class Rule(NamedTuple):
    """What one field may hold.

    Attributes:
        accepts: Says whether a value is possible.
        allowed: The same in words.
        schema: The same in JSON Schema, as far as it can say it.
        optional: Whether the field may be null.
    """

    accepts: Callable[[Any], bool]
    allowed: str
    schema: Mapping[str, Any]
    optional: bool = False


def _whole(at_least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and is_number(value) and value >= at_least


def _positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _not_negative(value: Any) -> bool:
    return is_number(value) and value >= 0


def _text(value: Any) -> bool:
    """A line that is safe to print: no control characters, so no terminal escapes."""
    return isinstance(value, str) and value.isprintable() and len(value) <= 500


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _versions(value: Any) -> bool:
    return isinstance(value, dict) and all(_text(line) for item in value.items() for line in item)


def _time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _shallow(value: Any) -> bool:
    """A mapping that later code can walk through without running out of stack."""
    level: list[Any] = [value] if isinstance(value, dict) else []
    for _ in range(DEEPEST):
        inner = [node.values() if isinstance(node, dict) else node for node in level]
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
    return isinstance(value, dict) and not level


_ANY_LINE = {"type": "string", "maxLength": 500}
_ANY_NUMBER = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
_ANY_FLAG = {"type": "boolean"}

_LINE = Rule(_text, "one line of text", _ANY_LINE)
_OPTIONAL_LINE = _LINE._replace(optional=True)
_ID = Rule(_matches("[0-9a-f]{12}"), "12 hexadecimal digits", {"type": "string", "pattern": "^[0-9a-f]{12}$"})
_SHA256 = Rule(
    _matches("[0-9a-f]{64}"), "64 hexadecimal digits", {"type": "string", "pattern": "^[0-9a-f]{64}$"}, optional=True
)
_FLAG = Rule(lambda value: isinstance(value, bool), "true or false", _ANY_FLAG)
_COUNT = Rule(_whole(1), "a whole number, 1 or more", {"type": "integer", "minimum": 1, "maximum": 10**18})
_AMOUNT = Rule(_whole(0), "a whole number, 0 or more", {"type": "integer", "minimum": 0, "maximum": 10**18})
_OPTIONAL_AMOUNT = _AMOUNT._replace(optional=True)
_DURATION = Rule(_not_negative, "a finite number from 0 to 1e18", {**_ANY_NUMBER, "minimum": 0}, optional=True)

_SCALE: dict[str, Any] = {
    "type": "object",
    "required": ["unit", "low", "high", "higher_is_better"],
    "additionalProperties": False,
    "properties": {
        "unit": {"type": "string", "maxLength": UNIT},
        "low": {"anyOf": [_ANY_NUMBER, {"type": "null"}]},
        "high": {"anyOf": [_ANY_NUMBER, {"type": "null"}]},
        "higher_is_better": _ANY_FLAG,
    },
}
FRACTIONS = {r"^(?!missing_|loss$|.*_loss$)": {"type": "number", "minimum": 0, "maximum": 1}}
"""Which metrics of a record without ``scales`` are fractions, in JSON Schema."""

FIELDS: dict[str, Rule] = {
    "schema": Rule(lambda value: value in SCHEMAS, " or ".join(map(str, SCHEMAS)), {"enum": list(SCHEMAS)}),
    "task": _LINE,
    "data": _LINE,
    "backbone": _LINE,
    "block": _LINE,
    "plugs": Rule(lambda value: isinstance(value, list), "a list", {"type": "array", "items": {"type": "object"}}),
    "experiment": _ID,
    "baseline": _ID,
    "run": _ID,
    "seed": _AMOUNT,
    "repeat": _AMOUNT,
    "metrics": Rule(
        lambda value: isinstance(value, dict) and len(value) > 0,
        "a mapping of names to values",
        {"type": "object", "minProperties": 1, "additionalProperties": _ANY_NUMBER},
    ),
    "primary": _LINE,
    "higher_is_better": _FLAG,
    "scales": Rule(
        lambda value: isinstance(value, dict),
        "a mapping of names to unit, low, high and higher_is_better",
        {"type": "object", "additionalProperties": _SCALE},
    ),
    "test_samples": _COUNT,
    "scores": Rule(
        _matches(r"[\w-][\w.-]*\.npz"),
        "the name of an .npz file beside the record",
        {"type": "string", "pattern": r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*\.npz$"},
        optional=True,
    ),
    "scores_sha256": _SHA256,
    "parameters": _AMOUNT,
    "macs": _AMOUNT,
    "bytes": _OPTIONAL_AMOUNT,
    "throughput": Rule(
        _positive, "a finite number above 0, at most 1e18", {"type": "number", "exclusiveMinimum": 0, "maximum": 1e18}
    ),
    "throughput_batch": _COUNT,
    "hardware": _LINE,
    "training_seconds": _DURATION,
    "training_hardware": _OPTIONAL_LINE,
    "world_size": _COUNT._replace(optional=True),
    "epochs": _DURATION,
    "steps": _OPTIONAL_AMOUNT,
    "planned_steps": _OPTIONAL_AMOUNT,
    "complete": _FLAG._replace(optional=True),
    "checkpoint": Rule(
        lambda value: value in CHECKPOINTS, ", ".join(CHECKPOINTS), {"enum": list(CHECKPOINTS)}, optional=True
    ),
    "batch_norm": _FLAG._replace(optional=True),
    "peak_memory": _OPTIONAL_AMOUNT,
    "memory_kind": Rule(
        lambda value: value in MEMORY_KINDS, " or ".join(MEMORY_KINDS), {"enum": list(MEMORY_KINDS)}, optional=True
    ),
    "config": Rule(_shallow, f"a mapping, at most {DEEPEST} levels deep", {"type": "object"}),
    "checkpoint_sha256": _SHA256,
    "versions": Rule(
        _versions, "a mapping of names to versions", {"type": "object", "additionalProperties": _ANY_LINE}
    ),
    "commit": Rule(
        _matches("[0-9a-f]{7,64}(-dirty)?"),
        "a commit, -dirty appended if changed",
        {"type": "string", "pattern": "^[0-9a-f]{7,64}(-dirty)?$"},
        optional=True,
    ),
    "finished": Rule(_time, "an ISO 8601 time with time zone", {"type": "string", "format": "date-time"}),
}
"""Every field of a record, and what it may hold."""


def field_problems(fields: Mapping[str, Any]) -> list[str]:
    """What is wrong with the fields one by one, a line each."""
    later = () if fields.get("schema") == SCHEMA else (*LATER, *OMITTED)
    known = [name for name in FIELDS if name not in later]
    found = [_unknown(name) for name in fields if name not in known]
    missing = [name for name in known if name not in fields and name not in OMITTED]
    found += [f"{name}: missing; allowed is {FIELDS[name].allowed}" for name in missing]
    for name, rule in FIELDS.items():
        value = fields.get(name)
        if name in fields and not (value is None and rule.optional) and not rule.accepts(value):
            found.append(f"{name}: {_shown(value)}; allowed is {rule.allowed}{' or null' if rule.optional else ''}")
    return found or _scale_problems(fields) or [*_metric_problems(fields), *_score_problems(fields)]


def _scale_problems(fields: Mapping[str, Any]) -> list[str]:
    found = []
    for name, scale in fields.get("scales", {}).items():
        try:
            stated = metric_of(name, scale)
        except ValueError as error:
            found.append(f"scales: {error}")
            continue
        if name == fields["primary"] and stated.higher_is_better != fields["higher_is_better"]:
            found.append(f"scales: metric {name}: higher_is_better is not what the record says of its primary metric")
    return found


def metric_of(name: str, scale: Any) -> Metric:
    """A metric as a record states it.

    Raises:
        ValueError: If it is none; one line.
    """
    if not _text(name):
        raise ValueError(f"{_shown(name)}; allowed is one line of text as a name")
    if not isinstance(scale, dict) or scale.keys() != _SCALE["properties"].keys():
        raise ValueError(f"metric {name}: {_shown(scale)}; allowed are {', '.join(_SCALE['required'])}")
    return Metric(name, **scale)


def _metric_problems(fields: Mapping[str, Any]) -> list[str]:
    """What is not within the bounds that the record states; what it states none of is known by its name."""
    metrics, primary = fields["metrics"], fields["primary"]
    stated = [metric_of(name, scale) for name, scale in fields.get("scales", {}).items()]
    found = [problem for name, value in metrics.items() if (problem := value_problem(name, value, stated))]
    if primary not in metrics:
        found.append(f"primary: {primary!r}; allowed is one of the metrics: {', '.join(map(str, metrics))}")
    return found


def value_problem(name: str, value: Any, stated: Iterable[Metric]) -> str | None:
    """What is wrong with a metric's value, if anything; one line.

    Args:
        name: The metric.
        value: Its value.
        stated: What is said of metrics.
    """
    if not _text(name):
        return f"metrics: {_shown(name)}; allowed is one line of text as a name"
    metric = metric_named(name, stated)
    return None if metric.allows(value) else f"metrics.{name}: {_shown(value)}; allowed is {metric.allowed}"


def _score_problems(fields: Mapping[str, Any]) -> list[str]:
    if (fields["scores"] is None) == (fields["scores_sha256"] is None):
        return []
    return ["scores_sha256: allowed is a digest where scores names a file, and null where it does not"]


def cell(value: object) -> object:
    """What goes into a CSV file for ``value``: a text that a spreadsheet would take for a formula gets an apostrophe.

    Names of files and classes come from other people's data, and a formula can run programs and send what it finds.
    """
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def _is_formula(text: str) -> bool:
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, n=1)
    return f"{_shown(name)}: unknown field" + (f"; did you mean {near[0]}?" if near else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
