"""What reads the options of a verb, and what ``--help`` says of those of a configuration; no torch.

A verb reads options of its own and leaves the rest, in its order, to the parser of configurations, which knows every
class that a configuration may name and takes seconds to come.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

from blockyard.mistakes import ArgumentParser, nearest

SECTIONS = (
    *("config", "seed_everything", "trainer", "model", "data", "ckpt_path", "print_config"),
    *("weights_only", "verbose", "return_predictions", "trust_config"),
)
"""What options of a configuration begin with."""
OTHERS = "All other options are those of blockyard {0}, such as --config FILE, --data.root DIR: see its --help."
CONFIGURATION = """\
options of the configuration, of which any number may be given and the last one
counts:
  --config FILE           YAML, yours or the package's, such as
                          image_classification/digits.yaml
  --data CLASS            the data, such as Digits; --data.root DIR sets one of
                          its options
  --model CLASS           the task, such as ImageClassification;
                          --model.backbone PreResNet,
                          --model.block SpectralNonlocal,
                          --model.at stage2.1 set some of its options
  --trainer.OPTION VALUE  of Lightning's Trainer, such as
                          --trainer.max_epochs 50, --trainer.devices 8
  --seed_everything N     the seed of the run (default: 0)
  --ckpt_path X           {checkpoint}
  --print_config          print the whole configuration as YAML and stop

more help, which takes seconds:
  --model.help CLASS      the options of a class; so, too, --data.help,
                          --model.backbone.help, --model.block.help,
                          --model.optimizer.help, --trainer.callbacks.help;
                          with --all, also what classes may stand in each place
  --help all              every option of the trainer, and what may be said in
                          place of a CLASS
"""


class Parser(ArgumentParser):
    """Reads a verb's own options, and keeps those of a configuration for others.

    Args:
        verb: Name of the verb.
        description: What it does.
        epilog: What there is to know besides.
        sections: What options that are not its own may begin with.
        notes: Further lines of the help, as they are.
        long: Whether the parser of configurations has a longer help, which ``--help all`` asks for.
    """

    def __init__(
        self,
        verb: str,
        description: str,
        epilog: str = "",
        *,
        sections: Sequence[str] = (),
        notes: str = "",
        long: bool = False,
    ) -> None:
        super().__init__(
            f"blockyard {verb}", description=description, epilog=epilog, add_help=False, allow_abbrev=False
        )
        self.sections, self.notes = sections, notes
        if sections:
            self.usage = "%(prog)s [options]"
        more: dict[str, Any] = {"nargs": "?", "choices": ("all",), "metavar": "all"} if long else {"nargs": 0}
        self.add_argument("-h", "--help", action=_Help, dest="long", default=False, help="show this and stop", **more)

    def format_help(self) -> str:
        """The help of argparse, then the notes."""
        return "\n".join(filter(None, (super().format_help(), self.notes)))

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
                hint = nearest(f"--{name}", known)
                raise ValueError(f"{self.prog.removeprefix('blockyard ')}: no option --{name}; {hint}")
        if rest and not self.sections:
            self.error(f"too many arguments: {' '.join(rest)}")
        return options, (["--help"] if options.long else rest)


def listed(names: Mapping[str, str]) -> str:
    """Names, each with what it is, in lines that fit the terminal."""
    wide, width = get_terminal_size().columns, max(map(len, names))
    return "\n".join(
        fill(what, wide, initial_indent=f"  {name:<{width}}  ", subsequent_indent=" " * (width + 4))
        for name, what in names.items()
    )


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


def configured(
    verb: str, description: str, checkpoint: str = "a file, a run's folder, best or last"
) -> Callable[[], Parser]:
    """Makes the parser of a verb all of whose options are those of a configuration."""
    notes = CONFIGURATION.format(checkpoint=checkpoint)
    return lambda: Parser(verb, description, sections=SECTIONS, notes=notes, long=True)
