"""Which classes a configuration may name, and their arguments, read from the source: nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "model": (("tasks",), ("Task",)),
    "data": (("datamodules", "samples/modules"), ("DataModule",)),
    "model.block": (("blocks",), ("Block", "Wrapper")),
    "model.backbone": (("backbones",), ("Backbone",)),
    "model.backbone.pooling": (("poolings",), ("Pooling",)),
    "model.pooling": (("poolings",), ("Pooling",)),
    "model.objective": (("objectives",), ("Objective",)),
    "model.objective.guide": (("backbones",), ("Backbone",)),
    "trainer.callbacks+": (("training",), ("Callback", "EarlyStopping", "WeightAveraging")),
}
"""Options that take a class: the folders that hold it, and what it derives from."""
PASSED = ("self", "channels", "spatial_dims", "num_classes", "in_channels", "input_shape", "network", "members")
"""Arguments that nobody types: the suite passes them itself."""


class Source(NamedTuple):
    """What the source says of a class.

    Attributes:
        bases: Names of what it derives from.
        arguments: Those of its constructor, in order.
        open: Whether it hands further ones on to the next class.
        methods: What it says itself.
        abstract: What it leaves for a subclass to say.
    """

    bases: tuple[str, ...]
    arguments: tuple[str, ...]
    open: bool
    methods: frozenset[str]
    abstract: frozenset[str]


def classes(option: str) -> list[str]:
    """Names of the classes that an option of :data:`KINDS` may name, in alphabetical order."""
    folders, roots = KINDS[option]
    known = _sources(folders)
    return sorted(name for name in known if _derives(name, roots, known) and not _unsaid(name, known))


def arguments(option: str, name: str | None) -> list[str]:
    """Arguments of the class of that name, or of all that the option may name."""
    known = _sources(KINDS[option][0])
    if name is not None:
        name = name.rpartition(".")[2]
    names = [name] if name in known else classes(option)
    return sorted({argument for each in names for argument in _arguments(each, known)} - set(PASSED))


def trainer_options() -> list[str]:
    """Arguments of Lightning's ``Trainer``."""
    spec = find_spec("lightning")
    file = Path(str(spec.origin)).parent / "pytorch/trainer/trainer.py" if spec else None
    known = dict(_read(file)) if file and file.is_file() else {}
    return sorted(set(known["Trainer"].arguments) - {"self"}) if "Trainer" in known else []


@cache
def _sources(folders: tuple[str, ...]) -> dict[str, Source]:
    files = (file for folder in folders for file in sorted((PACKAGE / folder).rglob("*.py")))
    return {name: source for file in files for name, source in _read(file)}


def _read(file: Path) -> Iterator[tuple[str, Source]]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, _source(node)


def _source(node: ast.ClassDef) -> Source:
    named = (ast.unparse(base).rpartition(".")[2] for base in node.bases)
    bases = tuple(name for name in named if name != node.name)  # a LayerNorm of one's own is no base of itself
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    names = frozenset(method.name for method in methods)
    abstract = frozenset(
        method.name
        for method in methods
        if any("abstractmethod" in ast.unparse(mark) for mark in method.decorator_list)
    )
    taken = next((method.args for method in methods if method.name == "__init__"), None)
    options = tuple(one.arg for one in (*taken.args, *taken.kwonlyargs)) if taken else ()
    return Source(bases, options, taken is None or taken.kwarg is not None, names - abstract, abstract)


def _derives(name: str, roots: tuple[str, ...], known: dict[str, Source]) -> bool:
    bases = known[name].bases if name in known else ()
    return any(base in roots or _derives(base, roots, known) for base in bases)


def _unsaid(name: str, known: dict[str, Source]) -> frozenset[str]:
    """Methods that a class has no body of."""
    if name not in known:
        return frozenset()
    inherited = [_unsaid(base, known) for base in known[name].bases]
    return frozenset().union(known[name].abstract, *inherited) - known[name].methods


def _arguments(name: str, known: dict[str, Source]) -> Iterator[str]:
    if name not in known:
        return
    yield from known[name].arguments
    if known[name].open:
        for base in known[name].bases:
            yield from _arguments(base, known)
