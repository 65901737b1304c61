"""``blocks``: what there is to plug in, and what else has a paper; for the terminal and, as a page, for the docs."""

from __future__ import annotations

import inspect
import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from torch import nn

from blockyard import objectives, training
from blockyard.blocks import Block, Wrapper, list_blocks, list_wrappers
from blockyard.commands.describe import cost_cells
from blockyard.composing.config_files import CONFIGS, config_names, read_config
from blockyard.composing.preparing import allow_imports
from blockyard.costs import Cost, count_macs, count_parameters
from blockyard.leaderboard.console import console
from blockyard.leaderboard.labels import class_name
from blockyard.leaderboard.terminal import Cells, left_out_line, print_fitting
from blockyard.mistakes import nearest
from blockyard.plugging import Wrapped, make_block
from blockyard.poolings import Pooling, list_poolings

Shape = tuple[int, ...]
GIVEN = ("channels", "spatial_dims", "size", "host")
"""What a block is told by its place and not by its user."""
NONE = "–"
SLOTS = {
    "after": ("behind any module", "--model.block NAME --model.at stage2.1"),
    "convolution": (
        "in place of one, for the costs here 3×3… from C to C",
        "--model.plugs '[{block: NAME, at: layer2.0.conv2, mode: replace}]'",
    ),
    "activation": ("in place of one", "--model.plugs '[{block: NAME, at: layer2.0.relu2, mode: replace}]'"),
    "mixer": ("of positions in every unit of a skeleton", "--model.backbone MetaFormer --model.backbone.mixers NAME"),
    "stage": (
        "around a whole one, for the costs here of three units that cost nothing",
        "--model.plugs '[{block: NAME, at: stage3, mode: around}]'",
    ),
    "units": (
        "in place of a whole stage's units, for the costs here of four basic ones",
        "--model.plugs '[{block: NAME, at: stage3, mode: replace}]'",
    ),
    "pooling": ("in place of that of PreResNet or a timm network", "--model.backbone.pooling NAME"),
    "loss": ("of a classification", "--model.loss NAME"),
    "objective": ("what a training step minimises", "--model.objective NAME"),
    "gradient": ("changed before the step", "--trainer.callbacks+=NAME"),
    "schedule": ("of what a network drops, or what of it trains", "--trainer.callbacks+=NAME"),
    "measure": ("taken on the way, with the training as it is without", "--trainer.callbacks+=NAME"),
}
"""Where each goes, and what puts it there on the command line."""

FOLDERS = {
    "image_classification": "image_folder.yaml",
    "action_recognition": "video_folder.yaml",
    "audio_classification": "audio_folder.yaml",
    "semantic_segmentation": "cityscapes.yaml",
}
"""The data on which the page puts a published network of each task, of those that have several."""


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of a class.

    Attributes:
        kind: A class with a ``paper`` and a ``slot``.
        parameters: How many a fresh one has on the asked map; empty where it does not exist there.
        macs: Multiply–accumulates of one map; empty where it does not exist there.
        refusal: Why it does not exist there; empty where it does.
        networks: The packaged configurations that put it where its paper does.
    """

    kind: type[Any]
    parameters: str
    macs: str
    refusal: str
    networks: Sequence[str]

    @property
    def name(self) -> str:
        """The class's name, by which a configuration asks for it."""
        return self.kind.__name__

    @property
    def year(self) -> str:
        """The last word of its paper."""
        return str(self.kind.paper.rpartition(" ")[2])

    @property
    def ranks(self) -> str:
        """The ranks of maps that it exists for, if it knows maps."""
        return ", ".join(map(str, getattr(self.kind, "ranks", ()))) or NONE

    @property
    def identity(self) -> str:
        """Whether a fresh one changes nothing, if that can be asked."""
        return {True: "yes", False: "no", None: NONE}[getattr(self.kind, "identity_at_init", None)]

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring: a formula, or a sentence."""
        return " ".join((inspect.getdoc(self.kind) or "").partition("\n\n")[0].split())

    @property
    def options(self) -> list[str]:
        """What its user may choose, as YAML writes values: ``kernel: dot | rbf = dot``; types if they are said."""
        hints = get_type_hints(self.kind.__init__)
        chosen = [p for p in inspect.signature(self.kind).parameters.values() if p.name not in GIVEN]
        return [_option(p, hints.get(p.name)) for p in chosen]


COLUMNS: dict[str, Callable[[Entry], str]] = {
    "block": lambda entry: entry.name,
    "slot": lambda entry: str(entry.kind.slot),
    "ranks": lambda entry: entry.ranks,
    "parameters": lambda entry: entry.parameters,
    "macs": lambda entry: entry.macs,
    "year": lambda entry: entry.year,
    "paper": lambda entry: entry.refusal or str(entry.kind.paper),
}
"""The columns of the table; where a block does not exist for a map, its paper makes room for why."""
KEPT = ("block", "slot", "parameters", "macs", "paper")
"""Those that stay longest where there is no room for all."""


def main(options: Namespace, _: list[str]) -> int:
    """List what a glob matches, with what it costs on a map of a given shape.

    Args:
        options: What :func:`~blockyard.commands.package_options.blocks` reads.

    Returns:
        The exit code, 0.

    Raises:
        ValueError: If no block matches, or shape or a column is none.
    """
    allow_imports()
    names = _column_names(options.columns)
    shape = _map_shape(options.shape)
    found = published(options.glob)
    if not found:
        names = [kind.__name__ for kind in published()]
        raise ValueError(f"no block matches {options.glob}; {nearest(options.glob.strip('*'), names)}")
    listed = entries(found, shape)
    if options.format == "markdown":
        print(markdown(listed, shape))
        return 0
    terminal, chosen = console(), names or list(COLUMNS)
    made = [_column(name, listed, options.shape) for name in dict.fromkeys(["block", *chosen])]
    for line in left_out_line(print_fitting(made, chosen if names else KEPT, terminal)):
        terminal.print(line)
    for slot in dict.fromkeys(entry.kind.slot for entry in listed):
        terminal.print(f"{slot}: {', '.join(SLOTS[slot])}", highlight=False)
    return 0


def _column_names(text: str) -> list[str]:
    names = [name for part in text.split(",") if (name := part.strip().lower())]
    for name in names:
        if name not in COLUMNS:
            raise ValueError(f"blocks: no column {name}; {nearest(name, COLUMNS)} there are {', '.join(COLUMNS)}")
    return names


def _column(name: str, listed: Sequence[Entry], shape: str) -> Cells:
    """A column of the table."""
    header = f"MACs at {shape}" if name == "macs" else name
    return Cells(name, [header, *map(COLUMNS[name], listed)], name not in ("parameters", "macs", "year"))


def published(glob: str = "*") -> list[type[Any]]:
    """Blocks, wrappers and poolings whose name matches; losses, callbacks and objectives that have a paper."""
    others = [vars(room)[name] for room in (training, objectives) for name in room.__all__]
    named = [kind for kind in others if getattr(kind, "paper", "") and fnmatchcase(kind.__name__, glob)]
    return [*list_blocks(glob), *list_wrappers(glob), *list_poolings(glob), *named]


def entries(kinds: Sequence[type[Any]], shape: Shape) -> list[Entry]:
    """The entries of classes, with their costs on a map ``(C, *S)``."""
    networks = _networks()
    return [Entry(kind, *_costs(kind, shape), networks.get(kind.__name__, ())) for kind in kinds]


def markdown(listed: Sequence[Entry], shape: Shape) -> str:
    """A table of the entries, then a section for each."""
    text = "×".join(map(str, shape))
    header = ["Block", "Year", "Slot", "Ranks", "Parameters", "MACs", "Identity at first"]
    lines = [_row(header), "| --- | --- | --- | --- | --: | --: | --- |"]
    for entry in listed:
        link = f"[{entry.name}](#{entry.name.lower()})"
        lines.append(
            _row([link, entry.year, entry.kind.slot, entry.ranks, entry.parameters, entry.macs, entry.identity])
        )
    notes = [
        f"- Parameters and MACs (multiply–accumulates): with the defaults, for a map of {text}.",
        *(f"- Slot {slot}: {where}, `{how}`." for slot, (where, how) in SLOTS.items()),
        "- Ranks: 1 sequences, 2 images, 3 video.",
        "- Identity at first: whether a fresh block returns its input bit for bit, so that a trained network stays"
        " what it is.",
    ]
    return "\n".join([*lines, "", *notes, "", *map(_section, listed)])


def _section(entry: Entry) -> str:
    options = ", ".join(f"`{option}`" for option in entry.options) or "none"
    lines = [f"## {entry.name}", "", entry.summary, "", f"- Paper: {entry.kind.paper}", f"- Options: {options}"]
    for name in entry.networks:
        task, _, rest = name.partition("/")
        what = (CONFIGS / name).read_text().partition("\n")[0].removeprefix("# ").partition("; after")[0]
        lines.append(f"- {what}: `--config {data_of(task)} --config {task}/{rest}`")
    return "\n".join([*lines, ""])


def data_of(task: str) -> str:
    """The configuration of the data on which published networks of a task are put: the first where none is said."""
    first = next(name for name in config_names() if name.startswith(f"{task}/") and name.count("/") == 1)
    return f"{task}/{FOLDERS[task]}" if task in FOLDERS else first


def _networks() -> dict[str, list[str]]:
    """The packaged configurations of published networks, by the classes that they name."""
    found: dict[str, list[str]] = {}
    for name in config_names():
        if "/networks/" in name:
            for kind in dict.fromkeys(_classes(read_config(name))):
                found.setdefault(kind, []).append(name)
    return found


def _classes(config: Any) -> Iterator[str]:
    """The names of all classes in a configuration, and whatever else is text: a class may go by its name alone."""
    if isinstance(config, dict):
        if "class_path" in config:
            yield class_name(config)
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes(value)
    elif isinstance(config, str):
        yield config


def _costs(kind: type[Any], shape: Shape) -> tuple[str, str, str]:
    """Parameters, MACs and nothing; or nothing, nothing and why there are none."""
    return cost_cells(partial(_cost, kind, shape)) if issubclass(kind, Block | Wrapper | Pooling) else (NONE, NONE, "")


def _cost(kind: type[Block] | type[Wrapper] | type[Pooling], shape: Shape) -> Cost:
    asked = [p for p in inspect.signature(kind).parameters.values() if p.name not in GIVEN]
    named = [p.name for p in asked if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if named:
        raise ValueError(f"its costs depend on {' and '.join(named)}, with no default")
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(shape) - 2]
    hosts: dict[str, nn.Module] = {
        "convolution": convolution(shape[0], shape[0], 3, padding=1),
        "activation": nn.ReLU(),
        "stage": nn.Sequential(*(nn.Identity() for _ in range(3))),
    }
    if issubclass(kind, Pooling):
        module: nn.Module = kind(shape[0])  # type: ignore[call-arg]  # a subclass says how long its vectors are
    elif issubclass(kind, Wrapper):
        module = Wrapped(hosts["stage"], make_block(kind, shape, kind.__name__, hosts["stage"], "around"))
    else:
        module = make_block(kind, shape, kind.__name__, hosts.get(kind.slot))
    return Cost(count_parameters(module), count_macs(module, shape))


def _map_shape(text: str) -> Shape:
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        raise ValueError(f"--shape {text}: expected channels and 1 to 3 sizes, such as 256x28x28")
    return shape


def _option(parameter: inspect.Parameter, hint: Any) -> str:
    said, empty = parameter.annotation, inspect.Parameter.empty
    text = said if isinstance(said, str) else inspect.formatannotation(said)
    kind = " | ".join(map(_yaml, get_args(hint))) if get_origin(hint) is Literal else text
    typed = "" if said is empty else f": {kind}"
    return f"{parameter.name}{typed}{'' if parameter.default is empty else f' = {_yaml(parameter.default)}'}"


def _yaml(value: Any) -> str:
    value = value.__name__ if isinstance(value, type) else value
    return value if isinstance(value, str) else json.dumps(value, default=repr)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
