"""``--model.help CLASS``: what the options of a class are, its own first, as its docstrings say."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import ParseError
from docstring_parser import parse as parse_docstring

from blockyard.composing.preparing import allowed
from blockyard.mistakes import nearest

ROOMS = {
    "model": ("blockyard.tasks",),
    "data": ("blockyard.datamodules", "blockyard.samples.modules"),
    "backbone": ("blockyard.backbones",),
    "block": ("blockyard.blocks",),
    "pooling": ("blockyard.poolings",),
    "objective": ("blockyard.objectives",),
    "guide": ("blockyard.backbones",),
    "callbacks": ("blockyard.training", "lightning.pytorch.callbacks"),
    "optimizer": ("torch.optim", "timm.optim"),
    "lr_scheduler": ("torch.optim.lr_scheduler",),
    "logger": ("lightning.pytorch.loggers",),
}
"""Where the classes are that an option takes by their name alone, by the last word of the option."""
TOLD = {
    "model": ("network", "num_classes", "input_shape", "members"),
    "backbone": ("num_classes", "in_channels"),
    "guide": ("num_classes", "in_channels"),
    "block": ("channels", "spatial_dims", "size", "host"),
    "pooling": ("channels",),
    "optimizer": ("params",),
    "lr_scheduler": ("optimizer",),
}
"""What nobody has to say, for data or network do."""
INDENT = " " * 6
ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`|``(.+?)``")


def show(option: str, name: str) -> bool:
    """Print the options of a class.

    Args:
        option: What names the class on the command line, such as ``model.backbone``.
        name: The class, by its name alone where it is one of this package's or a library's own, or by its path.

    Returns:
        Whether the option is one whose classes are known here; nothing is printed if not.

    Raises:
        ValueError: If there is no such class, or its package is not one that may be imported.
    """
    key = option.rpartition(".")[2]
    if key not in ROOMS:
        return False
    kind = _at(name) if "." in name else _named(name, ROOMS[key])
    print("\n".join(_lines(kind, f"--{option}", TOLD.get(key, ()))))
    return True


def _named(name: str, rooms: tuple[str, ...]) -> type[Any]:
    """A class by its name alone: of what the rooms show, or of a module in one of this package's."""
    known: list[str] = []
    for room in rooms:
        face = import_module(room)
        if inspect.isclass(found := getattr(face, name, None)):
            return found
        known += getattr(face, "__all__", [])
    for room in rooms if name not in known else ():
        for part in iter_modules(import_module(room).__path__, f"{room}.") if room.startswith("blockyard.") else ():
            module = import_module(part.name)
            if inspect.isclass(found := getattr(module, name, None)):
                return found
            known += [
                key for key, value in vars(module).items() if inspect.isclass(value) and value.__module__ == part.name
            ]
    raise ValueError(f"no class {name}; {nearest(name, sorted(set(known)))}")


def _at(path: str) -> type[Any]:
    """A class by its path, if its package may be imported."""
    module, _, name = path.rpartition(".")
    if not any(f"{path}.".startswith(f"{prefix}.") for prefix in allowed()):
        package = path.partition(".")[0]
        raise ValueError(
            f"{path} may not be imported; if you trust it, set BLOCKYARD_ALLOW={package} in the environment"
        )
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{path}: {error}") from error
    if not inspect.isclass(found):
        raise ValueError(f"{module} has no class {name}; {nearest(name, dir(import_module(module)))}")
    return found


def _lines(kind: type[Any], option: str, told: tuple[str, ...]) -> Iterator[str]:
    width = max(40, shutil.get_terminal_size().columns)
    yield from textwrap.wrap(f"{kind.__name__}: {_plain(_summary(kind))}", width)
    seen: set[str] = set(told)
    for owner in _owners(kind):
        said, hints = _documented(owner), _hints(owner)
        new = [
            p
            for p in inspect.signature(vars(owner)["__init__"]).parameters.values()
            if _is_option(p) and p.name not in seen
        ]
        seen |= {p.name for p in new}
        if new:
            yield ""
            yield "options of its own:" if owner is kind else f"of every {owner.__name__}:"
        for parameter in new:
            text = _plain(said.get(parameter.name, ""))
            if owner is not kind:
                text = re.split(r"(?<=[.;]) ", text, maxsplit=1)[0].rstrip(".;") + "."
            what = _type(parameter.annotation, hints.get(parameter.name))
            first = f"  {option}.{parameter.name}  {what}, {_default(parameter.default)}"
            yield from textwrap.wrap(first, width, subsequent_indent=INDENT)
            yield from textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT)
    yield ""
    yield from textwrap.wrap(f"With what every class is that can be named: {option}.help {kind.__name__} --all", width)


def _owners(kind: type[Any]) -> Iterator[type[Any]]:
    """The classes whose ``__init__`` sees options: the first, and those that it hands on to what it doesn't name."""
    for owner in kind.__mro__:
        if "__init__" not in vars(owner) or owner is object:
            continue
        yield owner
        kinds = {parameter.kind for parameter in inspect.signature(vars(owner)["__init__"]).parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return


def _is_option(parameter: inspect.Parameter) -> bool:
    named = parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return named and parameter.name != "self"


def _summary(kind: type[Any]) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0]


def _documented(kind: type[Any]) -> dict[str, str]:
    """What the docstrings of a class say of each argument."""
    said: dict[str, str] = {}
    for text in (kind.__doc__, vars(kind)["__init__"].__doc__):
        try:
            said |= {item.arg_name: item.description or "" for item in parse_docstring(text or "").params}
        except ParseError:
            continue
    return said


def _hints(kind: type[Any]) -> dict[str, Any]:
    """The types of the arguments, as far as their names are known where the class is."""
    try:
        return get_type_hints(vars(kind)["__init__"])
    except (NameError, TypeError, AttributeError):  # imported for the type checker alone
        return {}


def _plain(text: str) -> str:
    """Without the marks of reStructuredText."""
    return ROLE.sub(lambda found: found[1] or found[2], " ".join(text.split()))


def _type(annotation: Any, hint: Any) -> str:
    """A type as values are written in YAML: ``cosine | poly | null``, ``Backbone`` for what makes one."""
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    if annotation is inspect.Parameter.empty:
        return "any"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"Callable\[\[[^\]]*\], ([\w.]+)\]", r"\1", text)
    text = re.sub(r"Literal\[([^\]]*)\]", lambda found: found[1].replace(", ", " | ").replace("'", ""), text)
    text = text.replace("BlockFactory", "Block").replace("OptimizerCallable", "Optimizer")
    return re.sub(r"\bNone\b", "null", text.replace("LRSchedulerCallable", "LRScheduler"))


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    written = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"default {written}"
