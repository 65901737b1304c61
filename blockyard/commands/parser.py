"""What reads the options of a verb, and what ``--help`` says of those of a configuration; no torch.

A verb reads options of its own and leaves the rest, in its order, to the parser of configurations, which knows every
class that a configuration may name and takes seconds to come.
"""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from blockyard.mistakes import ArgumentParser, nearest

SECTIONS = (
    *("config", "seed_everything", "trainer", "model", "data", "ckpt_path", "print_config"),
    *("weights_only", "verbose", "return_predictions", "trust_config"),
)
"""What options of a configuration begin with."""
ELSEWHERE = {
    "batch_size": "--data.batch_size",
    "block": "--model.block",
    "devices": "--trainer.devices",
    "epochs": "--trainer.max_epochs",
    "gpus": "--trainer.devices",
    "lr": "--model.optimizer.lr",
    "max_epochs": "--trainer.max_epochs",
    "num_workers": "--data.num_workers",
    "resume": "--ckpt_path last",
    "root": "--data.root",
    "seed": "--seed_everything",
    "workers": "--data.num_workers",
}
"""What options of other programs are called here."""
OTHERS = "All other options are those of blockyard {0}, such as --config FILE, --data.root DIR: see its --help."
CONFIGURATION = (
    ("--config FILE", "YAML, yours or the package's, such as image_classification/digits.yaml"),
    ("--data CLASS", "the data, such as Digits; --data.root DIR sets one of its options"),
    (
        "--model CLASS",
        "the task, such as ImageClassification; --model.backbone PreResNet, --model.block SpectralNonlocal, --model.at"
        " stage2.1 set some of its options",
    ),
    ("--trainer.OPTION VALUE", "of Lightning's Trainer, such as --trainer.max_epochs 50, --trainer.devices 8"),
    ("--seed_everything N", "the seed of the run (default: 0)"),
    ("--ckpt_path X", "{checkpoint}"),
    ("--print_config", "print the whole configuration as YAML and stop"),
)
MORE = (
    (
        "--model.help CLASS",
        "the options of a class; so, too, --data.help, --model.backbone.help, --model.block.help,"
        " --model.optimizer.help, --trainer.callbacks.help; with --all, also what classes may stand in each place",
    ),
    ("--help all", "every option of the trainer, and what may be said in place of a CLASS"),
)
Notes = Sequence[tuple[str, Sequence[tuple[str, str]]]]
"""Sections of a help: a title, and options with what they are."""


class Parser(ArgumentParser):
    """Reads a verb's own options, and keeps those of a configuration for others.

    Args:
        verb: Name of the verb.
        description: What it does.
        epilog: What there is to know besides.
        sections: What options that are not its own may begin with.
        example: A command line that people may type.
        notes: Further sections of the help, of options that others read.
        long: Whether the parser of configurations has a longer help, which ``--help all`` asks for.
    """

    def __init__(
        self,
        verb: str,
        description: str,
        epilog: str = "",
        *,
        sections: Sequence[str] = (),
        example: str = "",
        notes: Notes = (),
        long: bool = False,
    ) -> None:
        super().__init__(
            f"blockyard {verb}", description=description, epilog=epilog, add_help=False, allow_abbrev=False
        )
        self.sections, self.notes, self.example = sections, notes, example
        if sections:
            self.usage = "%(prog)s [options]"
        more: dict[str, Any] = {"nargs": "?", "choices": ("all",), "metavar": "all"} if long else {"nargs": 0}
        self.add_argument("-h", "--help", action=_Help, dest="long", default=False, help="show this and stop", **more)

    def format_help(self) -> str:
        """What the verb does, an example, its own options, and the notes; lines are as long as the terminal is wide."""
        head, body = self._get_formatter(), self._get_formatter()
        usage = self.usage and textwrap.fill(self.usage % {"prog": self.prog}, terminal_width() - len("usage: "))
        head.add_usage(usage and usage.replace("\n", "\n       "), self._actions, self._mutually_exclusive_groups)
        first, _, rest = (self.description or "").partition(". ")
        head.add_text(first.rstrip(".") + ".")
        body.add_text(rest)
        for group in self._action_groups:
            body.start_section(group.title)
            body.add_arguments(group._group_actions)
            body.end_section()
        for title, options in self.notes:
            body.start_section(title)
            body.add_arguments([_described(*option) for option in options])
            body.end_section()
        body.add_text(self.epilog)
        example = typed(self.example) if self.example else ""
        return "\n".join(filter(None, (head.format_help(), example, body.format_help())))

    def read(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The verb's own options, and the tokens that are not.

        Raises:
            ValueError: If an option is wrong, missing, or neither the verb's nor of :attr:`sections`; one line.
        """
        if self.sections:
            arguments = _answer_help(list(arguments))
        options, rest = self.parse_known_args(arguments)
        known = [*self._option_string_actions, *(f"--{section}" for section in self.sections)]
        for token in rest:
            name = token[2:].partition("=")[0].partition(".")[0].rstrip("+")
            if token.startswith("--") and name not in self.sections:
                usual = ELSEWHERE.get(name.replace("-", "_")) if self.sections else None
                hint = f"here it is {usual}" if usual else nearest(f"--{name}", known)
                raise ValueError(f"{self.prog.removeprefix('blockyard ')}: no option --{name}; {hint}")
        if rest and not self.sections:
            self.error(f"too many arguments: {' '.join(rest)}")
        return options, (["--help"] if options.long else rest)


def _answer_help(arguments: list[str]) -> list[str]:
    """Answer ``--model.help CLASS`` and its like, and stop; leave to others what they know, and all that is to know.

    Returns:
        The arguments, without the ``--all`` that asks others.

    Raises:
        SystemExit: After an answer: code 0.
    """
    for place, token in enumerate(arguments):
        option, equals, name = token.partition("=")
        if not (option.startswith("--") and option.endswith(".help")):
            continue
        name = name if equals else "".join(arguments[place + 1 : place + 2])
        if "--all" in arguments:
            return [other for other in arguments if other != "--all"]
        if name and not name.startswith("--"):
            from blockyard.commands.class_help import show  # imports what it describes

            if show(option[2:].removesuffix(".help"), name):
                raise SystemExit(0)
    return arguments


class _Help(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, value: Any, *_: object) -> None:
        if value == "all":
            options.long = True
            return
        print(parser.format_help(), end="")  # argparse would swallow that the disk behind it is full
        parser.exit()


def _described(option: str, text: str) -> argparse.Action:
    """An option that another parser reads, for the help."""
    flag, _, metavar = option.partition(" ")
    what: dict[str, Any] = {"metavar": metavar} if metavar else {"nargs": 0}
    return argparse.Action([flag], flag.lstrip("-"), help=text.replace("%", "%%"), **what)


def typed(command: str) -> str:
    """A command line as it is typed, broken before options where the terminal is too narrow."""
    width = terminal_width() - len("  " + " \\")
    parts = re.split(r" (?=--)", command)
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(f"  {part}")
    return "".join(f"  {line}{end}\n" for line, end in zip(lines, [" \\"] * (len(lines) - 1) + [""], strict=True))


def terminal_width() -> int:
    """Columns of the terminal, of COLUMNS where that is set, or 80; of each line as many are used at most."""
    return max(40, shutil.get_terminal_size().columns)


def listed(rows: Iterable[tuple[str, str]]) -> str:
    """Names, and what they are in as many lines beside them as that takes."""
    pairs = list(rows)
    indent = max(len(name) for name, _ in pairs) + 4
    lines = (
        textwrap.wrap(text, terminal_width(), initial_indent=f"  {name:<{indent - 2}}", subsequent_indent=" " * indent)
        for name, text in pairs
    )
    return "\n".join(line for part in lines for line in part)


def configured(
    verb: str,
    description: str,
    checkpoint: str = "a file, a run's folder, best or last",
    example: str = "",
) -> Callable[[], Parser]:
    """Makes the parser of a verb all of whose options are those of a configuration."""
    known = [(option, text.format(checkpoint=checkpoint)) for option, text in CONFIGURATION]
    title = "options of the configuration; the last of each counts"
    notes = ((title, known), ("more help, which takes seconds", MORE))
    return lambda: Parser(verb, description, sections=SECTIONS, example=example, notes=notes, long=True)
