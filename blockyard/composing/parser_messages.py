"""What the parser of configurations says: its help, and one line for a person about a wrong option."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import sys
import textwrap
from typing import Any

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from blockyard.backbones import Backbone, FrontEnd
from blockyard.blocks.base import Block, Pluggable
from blockyard.datamodules import DataModule
from blockyard.heads import BridgedHead, Neck
from blockyard.mistakes import nearest
from blockyard.objectives import Objective
from blockyard.plugging import Plug
from blockyard.poolings import Pooling
from blockyard.training.mixing import Mixing

BASES: dict[str, type] = {
    "model": LightningModule,
    "backbone": Backbone,
    "block": Pluggable,
    "pooling": Pooling,
    "neck": Neck,
    "head": BridgedHead,
    "front_end": FrontEnd,
    "network": Backbone,
    "data": DataModule,
    "sets": DataModule,
    "optimizer": Optimizer,
    "lr_scheduler": LRScheduler,
    "plugs": Plug,
    "mixing": Mixing,
    "objective": Objective,
    "guide": Backbone,
    "callbacks": Callback,
    "logger": Logger,
    "loss": nn.Module,
    "mixers": Block,
    "channel_mixers": Block,
}
"""What the classes named at these keys derive from."""
PASSED = ("params", "optimizer", "channels", "spatial_dims", "num_classes", "in_channels", "input_shape", "members")
SECTIONS = ("config", "seed_everything", "trainer", "model", "data", "ckpt_path")


class _Wrapped(DefaultHelpFormatter):
    """Also headings, which are whole sentences of Lightning's, keep to the terminal's width."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading and textwrap.fill(heading, self._width))


def parser_options(verb: str | None) -> dict[str, Any]:
    """What LightningCLI gives the parser, and that of a verb, if there is one."""
    options = {"exit_on_error": False, "allow_abbrev": False, "formatter_class": _Wrapped}
    said = {"usage": f"blockyard {verb} [options]", "description": f"Every option of {verb} that all tasks have."}
    return {"prog": "blockyard", **options, **({verb: {**options, **said}} if verb else {})}


def explain(message: str) -> str:
    """The one line that matters in a message of jsonargparse, with the nearest match.

    Args:
        message: Text of an ``ArgumentError``: nested, many lines, the cause innermost.
    """
    for pattern, line in EXPLANATIONS:
        if found := re.search(pattern, message):
            return line(message[: found.start()], message[found.start() :], found)
    return " ".join(message.split())


def _keys(text: str) -> list[str]:
    return re.findall(r'Parser key "([\w.]+)"', text)


def _owner(before: str, after: str) -> str | None:
    """The class whose options are meant: the next one named, or the last before."""
    named = re.findall(r"class_path='([\w.]+)'", after) + re.findall(r"class_path '([\w.]+)'", before)[::-1]
    return named[0] if named else None


def _wrong_option(before: str, after: str, match: re.Match[str]) -> str:
    owner = _owner(before, after)
    if owner is None:
        return f"no option {match[1]}; {nearest(match[1].split('.')[0], SECTIONS)}"
    return f"{owner.split('.')[-1]} has no option {match[1]}; {nearest(match[1], _options(_find(owner)))}"


def _wrong_key(before: str, after: str, match: re.Match[str]) -> str:
    key = match[1].lstrip("-").split("=")[0]
    if of := re.search(r"given class_path '([\w.]+)':\s*$", before):
        return f"{of[1].split('.')[-1]} has no option {key}; {nearest(key.split('.')[0], _options(_find(of[1])))}"
    return _no_key(key)


def _wrong_member(before: str, after: str, match: re.Match[str]) -> str:
    return _no_key(f"trainer.{match[2]}" if match[1] else match[2])


def _no_key(key: str) -> str:
    section, _, option = key.rpartition(".")
    if section == "trainer":
        return f"no option --{key}; {nearest(option, _options(Trainer))}"
    return f"no option {key}; {nearest(key.split('.')[0], SECTIONS)}"


def _wrong_class(before: str, after: str, match: re.Match[str]) -> str:
    key = (_keys(before) or [""])[-1].rpartition(".")[2]
    if key not in BASES:
        return f"{'.'.join(_keys(before))}: {match[1]} is not a possible value"
    kind = _singular(key)
    for other, base in BASES.items():
        if other not in (key, "loss") and match[1] in class_names(base):
            return f"{match[1]} is no {kind}: it goes where a {_singular(other)} does"
    known = class_names(BASES[key]) + {"lr_scheduler": ["cosine", "poly"], "head": ["BridgedHead"]}.get(key, [])
    return f"no {kind} {match[1]}; {nearest(match[1], known)}"


def _singular(key: str) -> str:
    plural = ("callbacks", "plugs", "mixers", "channel_mixers", "sets")
    return key.removesuffix("s").replace("_", " ") if key in plural else key


def _denied(before: str, after: str, match: re.Match[str]) -> str:
    package = match[1].split(".")[0]
    return f"{match[1]} may not be imported; if you trust it, set BLOCKYARD_ALLOW={package} in the environment"


def _no_python(before: str, after: str, match: re.Match[str]) -> str:
    return f"{match[2]}, line {match[3]}: {match[1]}"


def _foreign_class(before: str, after: str, match: re.Match[str]) -> str:
    key = (_keys(before) or [""])[-1].rpartition(".")[2]
    base = BASES.get(key)
    if base is Pluggable:
        return f"{match[1]} is no block: its first arguments have to be channels and spatial_dims"
    public = f"{base.__module__}.{base.__name__}" if base else match[2]
    return f"{match[1]} is no {_singular(key)}: derive it from {public}"


def _no_attribute(before: str, after: str, match: re.Match[str]) -> str:
    module = sys.modules.get(match[1])
    known = [name for name, value in vars(module).items() if isinstance(value, type)] if module else []
    known += [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]
    return f"{match[1]} has no {match[2]}; {nearest(match[2], [name for name in known if name[0] != '_'])}"


def _not_installed(before: str, after: str, match: re.Match[str]) -> str:
    if re.search(rf"Given value: (?:.*?val=')?{re.escape(match[1])}\.", after):
        return f"there is no package {match[1]} in this folder, nor where Python's packages are"
    return f"{match[1]}, which the class needs, is not installed"


def _wrong_value(before: str, after: str, match: re.Match[str]) -> str:
    types, _, rest = re.sub("Given value: ", "Got value: ", after).partition("Got value: ")
    expected = re.findall(r"Expected an? (?:<class '((?!NoneType)\w+)'>|typing\.Literal(\[.*?\]))", types)
    choices = [str(value) for _, listed in expected if listed for value in ast.literal_eval(listed)]
    words = [kind for kind, _ in expected if kind]
    words += [f"one of {', '.join(dict.fromkeys(choices))}"] if choices else []
    given = re.match(r"(?:NestedArg\(key='[\w.]+', val=)?(.*?)\)?(?:\. Got value.*)?$", rest, re.M)
    got = given[1] if given else "something else"
    hint = nearest(got, choices) if choices else ""
    near = f"; {hint}" if hint.startswith("did") else ""
    return f"{'.'.join(_keys(before))}: expected {' or '.join(words)}, got {got}{near}"


def _missing(before: str, after: str, match: re.Match[str]) -> str:
    within = re.search(r"class_path '([\w.]+)':\s+(?:the following )?$", before)
    owner = within[1] if within else _owner(before, after)
    if owner is None:
        missing = re.sub(r"\b(fit|validate|test|predict)\.", "", match[1])
        return f"missing: {missing}; start from a packaged --config does, such as multi_task/canvases.yaml"
    inner = match[1] == "network" and "Backbone" in before
    example = f", such as --{'.'.join(_keys(before))}.network PreResNet" if inner else ""
    return f"{owner.split('.')[-1]} needs {match[1]}{example}"


def _no_class(before: str, after: str, match: re.Match[str]) -> str:
    key = ".".join(_keys(before))
    if key.endswith("sets"):
        return f"{key}: an option is of a set that is not there; a new one needs its class_path and init_args"
    return f"{key}: of which class? --{key} NAME says it, or a packaged --config: blockyard configs lists them"


def _no_object(before: str, after: str, match: re.Match[str]) -> str:
    key = ".".join(_keys(before))
    return f"{key}: expected the name of a {match[1]}, or its class_path and init_args, got {match[2]}"


EXPLANATIONS = (
    # First, for it means that its class was allowed: what else the parser tried to import for it is nobody's wish.
    (r"Option '([^']+)' is not accepted", _wrong_option),
    (r"Importing 'lightning\.LightningModule' is not allowed", _no_class),  # which nobody asked for
    (r"Importing '([\w.]+)' is not allowed", _denied),
    (r"- ([^\n]+?) \((\S+\.py), line (\d+)\)", _no_python),
    (r"(?:Group '(?:\w+\.)?(trainer)' )?does not accept option '([^']+)'", _wrong_member),
    (r"[Uu]nrecognized arguments: (\S+)", _wrong_key),
    (r"Expected a dot import path string: (\S+?)\.?(?=\s|$)", _wrong_class),
    (r"arguments? (?:is|are) required: (\w+(?:, \w+|\.\w+)*)", _missing),
    (r"module '([\w.]+)' has no attribute '(\w+)'", _no_attribute),
    (r"No module named '([\w.]+)'", _not_installed),
    (r"Expected '([\w.]+)' to be a subclass of <class '([\w.]+)'>", _foreign_class),
    (r"Expected an? (?:<class '((?!NoneType)\w+)'>|typing\.Literal(\[.*?\]))", _wrong_value),
    (r"Expected an instantiatable class, but [\w.]+ is abstract", _no_class),
    (r"Not a valid subclass of (\w+)\. Got value: ([^\n]+)", _no_object),
)
"""Patterns from the most to the least telling, each with the function that words it."""


def class_names(base: type) -> list[str]:
    """Names of the concrete public subclasses of ``base``."""
    found: list[str] = []
    children: list[type] = base.__subclasses__()
    for child in children:
        found += class_names(child)
        if not inspect.isabstract(child) and not child.__name__.startswith("_"):
            found.append(child.__name__)
    return found


def _options(owner: Any) -> list[str]:
    """What a person can set: all parameters but those that the suite passes itself.

    A constructor with ``**options`` passes them to the next class's.
    """
    names: list[str] = []
    for kind in inspect.getmro(owner) if owner else ():
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(kind).parameters.values()
        plain = [parameter.name for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        names += plain
        if len(plain) == len(parameters):
            break
    own = ("optimizer",) if owner and issubclass(owner, LightningModule) else ()  # which is passed to schedulers
    return [name for name in dict.fromkeys(names) if name in own or name not in PASSED]


def _find(path: str) -> type | None:
    name = path.split(".")[-1]
    stack = list(BASES.values())
    while stack:
        kind = stack.pop()
        if kind.__name__ == name:
            return kind
        stack += kind.__subclasses__()
    return None


def dumped(parser: ArgumentParser, section: Namespace) -> dict[str, Any]:
    """A parsed configuration as plain values.

    Raises:
        ValueError: If a value is not to be had as one, such as a member of an enumeration; one line.
    """
    try:
        content: dict[str, Any] = yaml.safe_load(parser.dump(section, skip_none=False))
    except ValueError as error:
        why = next((line.strip(" -") for line in str(error).splitlines() if "represent" in line), str(error))
        raise ValueError(f"config: what can't be written down is no part of a run: {' '.join(why.split())}") from error
    return content
