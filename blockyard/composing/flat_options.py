"""Options laid over a configuration, nested as in its file or flat as on the command line: ``model.backbone.depth``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from blockyard.composing.merging import class_path, merge, same_class

PARTS = ("class_path", "init_args", "dict_kwargs")
"""The keys of a class in a configuration."""


def laid_over(config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with options laid over it, flat ones over nested ones.

    An option goes where the same words on the command line would: into the ``init_args`` of the classes that the
    configuration has on its way. Another class replaces all of the old one. A flat name that ends with ``+`` appends to
    a list.

    Raises:
        ValueError: If what lies on the way to an option has none; one line.
    """
    laid = dict(config)
    for key in sorted(options, key=lambda name: (_is_flat(name), name)):  # model.backbone comes before its options
        laid = _with(laid, key.split("."), options[key], key)
    return laid


def said_twice(options: Mapping[str, Any]) -> str | None:
    """The first option that a mapping sets twice, such as once nested and once flat."""
    said = Counter(option_names(options))
    return next((name for name, times in sorted(said.items()) if times > 1), None)


def option_names(options: Mapping[str, Any]) -> list[str]:
    """The options that a mapping sets, nested or flat, as the command line calls them; a list is one."""
    return [name for key, value in options.items() for name in _names(key, value)]


def _is_flat(key: str) -> bool:
    return "." in key or key.endswith("+")


def _names(key: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield ".".join(part for part in key.rstrip("+").split(".") if part not in PARTS)
        return
    for name, inner in value.items():
        yield from _names(f"{key}.{name}", inner)


def _with(node: Any, path: list[str], value: Any, option: str) -> Any:
    """A node of a configuration with a value laid over what is at a path below it."""
    if not path:
        return _under(node, value, option)
    node = {"class_path": node} if isinstance(node, str) else {} if node is None else node
    if not isinstance(node, dict):
        owner = option.removesuffix(f".{'.'.join(path)}")
        raise ValueError(f"{option}: {owner} is {node!r:.60} there, which has no options")
    if not node.keys().isdisjoint(PARTS) and path[0] not in PARTS:
        path = ["init_args", *path]
    name, *rest = path
    if name.endswith("+") and not rest:
        return {**node, name[:-1]: [*_listed(node.get(name[:-1])), *_listed(value)]}
    return {**node, name: _with(node.get(name), rest, value, option)}


def _under(node: Any, value: Any, option: str) -> Any:
    """A value laid over a node: options key by key, anything else in its place."""
    named = class_path(value)
    if not isinstance(value, dict) or node is None or (named and not same_class(class_path(node) or "", named)):
        return merge(node, value)
    for key, inner in value.items():
        node = _with(node, [key], inner, f"{option}.{key}")
    return node


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
