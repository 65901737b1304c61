"""Backbones by names that are quick to read, for pages; the labels of records say every option."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

ADAPTERS = ("Backbone", "Features")
"""Ends of the names of classes that hand on another network, which says more than they do."""
BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def readable(labels: Iterable[str]) -> dict[str, str]:
    """Labels such as ``LogMel(n_mels=40) + PreResNet(depth=8, dropout=0)`` to such as ``LogMel + PreResNet-8``.

    Labels that would be called the same keep the options in which they differ.
    """
    alike: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        alike.setdefault(_parts(label), []).append(label)
    names = {}
    for short, group in alike.items():
        common = set.intersection(*(set(_options(label)) for label in group))
        for label in group:
            own = ", ".join(option for option in _options(label) if option not in common)
            names[label] = short if len(group) == 1 else f"{short} ({own})" if own else label
    told_apart = len(set(names.values())) == len(names)
    return names if told_apart else {label: label for label in names}


def _parts(label: str) -> str:
    return " + ".join(map(_short, _split(label, " + ")))


def _short(part: str) -> str:
    name, arguments = _call(part)
    if not arguments:
        return part
    if not _is_option(arguments[0]):
        inner = _parts(arguments[0])
        return inner if name.endswith(ADAPTERS) else f"{name}({inner})"
    depth = next((value for key, _, value in (one.partition("=") for one in arguments) if key == "depth"), "")
    return f"{name}-{depth}" if depth else name


def _options(label: str) -> list[str]:
    """All ``key=value`` of a label, at any depth."""
    return list(_walk(label))


def _walk(text: str) -> Iterator[str]:
    for part in _split(text, " + "):
        for argument in _call(part)[1]:
            if _is_option(argument):
                yield argument
            else:
                yield from _walk(argument)


def _call(part: str) -> tuple[str, list[str]]:
    """Name and arguments of ``Name(a, b=c)``; no arguments where it is no call."""
    name, _, rest = part.partition("(")
    if not rest.endswith(")") or not re.fullmatch(r"[\w.]+", name):
        return part, []
    return name.rpartition(".")[2], _split(rest[:-1], ", ")


def _is_option(argument: str) -> bool:
    return re.match(r"[\w.\"-]+=|…", argument) is not None


def _split(text: str, mark: str) -> list[str]:
    """The parts of a text between marks that stand in no bracket and in no quotes."""
    parts, start, depth, quoted = [], 0, 0, False
    for index, character in enumerate(text):
        quoted ^= character == '"'
        depth += 0 if quoted else BRACKETS.get(character, 0)
        if depth == 0 and not quoted and index >= start and text.startswith(mark, index):
            parts.append(text[start:index])
            start = index + len(mark)
    return [*parts, text[start:]]
