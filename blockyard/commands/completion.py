"""``blockyard completion``: what a shell completes by TAB; no torch, which would take seconds each time.

Libraries that complete for argparse see the options of its parsers, and those of a configuration are on none: they are
arguments of classes.
"""

from __future__ import annotations

from argparse import Namespace

from blockyard.cli import VERBS
from blockyard.commands import sources
from blockyard.commands.parser import Parser
from blockyard.commands.samples import writers
from blockyard.composing.config_files import config_names
from blockyard.publishers.sets import SETS

BASH = """\
_blockyard() {
  local IFS=$'\\n'
  COMPREPLY=($(blockyard completion words "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null))
  [[ ${#COMPREPLY[@]} -eq 1 && $COMPREPLY == *[./=] ]] && compopt -o nospace
  return 0
}
complete -o default -F _blockyard blockyard"""
ZSH = """\
_blockyard() {
  local -a found
  found=("${(@f)$(blockyard completion words $((CURRENT - 1)) "${words[@]}" 2>/dev/null)}")
  if [[ -n "$found[1]" ]]; then compadd -- $found; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _blockyard blockyard"""
SHELLS = {"bash": BASH, "zsh": ZSH}
PLACES = [
    *(f"stage{stage}" for stage in range(1, 5)),
    *(f"stage{stage}.{unit}" for stage in range(1, 5) for unit in ("0", "1", "-1", "-2")),
    *("one-in-res4", "five-in-res3-res4", "nvan-five"),
]
"""Places that most networks have, and the papers'."""
CLASSED = ("trainer", "model", "data")
"""Sections with options below them."""
HELP_OF = ("model.help", "data.help", "model.backbone.help", "model.block.help", "trainer.callbacks.help")
OWN = {"leaderboard": [f"--{name}" for name in ("records", "task", "html", "markdown", "csv", "latex", "columns")]}
"""Options of verbs that read them all themselves."""


def main(options: Namespace, _: list[str]) -> int:
    """Print the lines that a shell reads, or, as those lines ask, what a word may become, one a line.

    Args:
        options: What :func:`~blockyard.commands.package_options.completion` reads.

    Returns:
        0.

    Raises:
        ValueError: If the position is no number.
    """
    if options.shell != "words":
        print(SHELLS[options.shell])
        return 0
    place, *line = options.line or ["0"]
    if not place.isdecimal():
        raise ValueError(f"completion: words {place}: the position of a word comes first")
    typed = [*line, *[""] * (int(place) + 1)][: int(place) + 1]
    found = candidates(typed[1:-1], typed[-1])
    print("".join(f"{word}\n" for word in found if word.startswith(typed[-1])), end="")
    return 0


def candidates(before: list[str], word: str) -> list[str]:
    """What a word may become, and more that it may not; none leaves it to the shell, which knows files.

    Args:
        before: The words of the line between ``blockyard`` and this one.
        word: As far as it is typed.
    """
    if not before:
        return [*sorted({verb.split()[0] for verb in VERBS}), "--help", "--version"]
    name = " ".join(before[:2]) if " ".join(before[:2]) in VERBS else before[0]
    verb = VERBS.get(name)
    if verb is None:
        return []
    parser = verb.parser() if verb.parser else None
    if word.startswith("-"):
        return _options(name, parser, before, word)
    return _values(name, parser, before[-1])


def _options(name: str, parser: Parser | None, before: list[str], word: str) -> list[str]:
    own = list(parser._option_string_actions) if parser else OWN.get(name, [])
    sections = parser.sections if parser else ()
    found = [option for option in own if not option.endswith("OPTION")]
    found += [f"--{section}" for section in sections if section not in CLASSED]
    found += [f"--{section}{end}" for section in sections if section in CLASSED for end in ("", ".")]
    section = word[2:].partition(".")[0]
    if "." in word and section in sections:
        found += [f"--{option}" for option in _of_section(section, before, word[2:])]
    return found


def _of_section(section: str, before: list[str], typed: str) -> list[str]:
    """Options of a configuration below one of its sections, as deep as is typed, and one deeper."""
    if section == "trainer":
        return [f"trainer.{option}" for option in sources.trainer_options()] + ["trainer.callbacks+=", HELP_OF[-1]]
    found = [option for option in HELP_OF if option.startswith(f"{section}.")]
    for option in sources.KINDS:
        if option == section or (option.startswith(f"{section}.") and typed.startswith(f"{option}.")):
            named = _value_of(option, before)
            found += [f"{option}.{argument}" for argument in sources.arguments(option, named)]
            found += [f"{other}." for other in sources.KINDS if other.rpartition(".")[0] == option]
    return found


def _value_of(option: str, words: list[str]) -> str | None:
    """What the line says of an option already."""
    pairs = [*zip(words, [*words[1:], ""], strict=True), *(word.split("=", 1) for word in words if "=" in word)]
    return next((value for name, value in reversed(pairs) if name == f"--{option}"), None)


def _values(name: str, parser: Parser | None, last: str) -> list[str]:
    """What may stand behind an option, or as a verb's own argument."""
    option = last.removeprefix("--")
    if option in sources.KINDS:
        return sources.classes(option)
    if option.endswith(".help") and option.removesuffix(".help") in sources.KINDS:
        return sources.classes(option.removesuffix(".help"))
    if option == "model.at":
        return PLACES
    if option in ("config", "slurm"):
        return [config for config in config_names() if not config.startswith("studies/")]
    if option == "ckpt_path":
        return []
    action = parser._option_string_actions.get(last) if parser else None
    if action is not None:
        return [str(choice) for choice in action.choices or ()]
    if last == name.split()[-1]:
        return _arguments(name, parser)
    return []


def _arguments(name: str, parser: Parser | None) -> list[str]:
    """What may stand right behind a verb."""
    if name == "study":
        return [config for config in config_names() if config.startswith("studies/")]
    if name == "profile":
        return sources.classes("model.block")
    if name == "samples":
        return list(writers())
    if name == "fetch":
        return list(SETS)
    if name == "leaderboard":
        return ["add", "verify"]
    actions = parser._actions if parser else []
    return [str(choice) for action in actions if not action.option_strings for choice in action.choices or ()]
