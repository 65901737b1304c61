"""What a class says of its arguments, in the words of the command line; no torch.

A class is there for Python too and says ``batch_size=64``, or ``strict=False loads the rest``. Whoever typed a command
line has to type ``--data.batch_size 64`` and ``--model.backbone.strict false``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jsonargparse import Namespace

from blockyard.composing.composition import flatten
from blockyard.mistakes import mistake_in

_ARGUMENT = re.compile(r"\w\((?:[^()]|\([^()]*\))*\)|(?<![\w.\-/=])([a-z][a-z_]*)=(?:(True|False|None)\b)?")
"""One, or a whole call, as ``Metric(name='psnr')``, which is left as it is."""
_WORDS = {"True": " true", "False": " false", "None": " null", None: " "}


@contextmanager
def spoken(config: Callable[[], Any]) -> Iterator[None]:
    """Let a mistake that ends this name arguments as options.

    Args:
        config: Gives the parsed configuration, or a section of it, as far as it is known by then.
    """
    try:
        yield
    except ValueError as error:
        mistake = mistake_in(error)
        if isinstance(mistake, ValueError) and len(mistake.args) == 1:  # not what a disk or a library says
            mistake.args = (as_options(str(mistake), config()),)
        raise


def as_options(text: str, config: Any) -> str:
    """A message in which arguments that the configuration has in one place alone are options of the command line."""
    places: dict[str, list[str]] = {}
    for option in flatten(_plain(config)):
        places.setdefault(option.rpartition(".")[2], []).append(option)

    def typed(match: re.Match[str]) -> str:
        found = places.get(match[1], [])
        return f"--{found[0]}{_WORDS[match[2]]}" if len(found) == 1 else match[0]

    return _ARGUMENT.sub(typed, text)


def _plain(config: Any) -> Any:
    """The sections that classes are made from, without what only the parser knows."""
    if isinstance(config, Namespace):
        config = vars(config)
    if isinstance(config, Mapping):
        return {str(name): _plain(value) for name, value in config.items() if not str(name).startswith("__")}
    return [_plain(item) for item in config] if isinstance(config, list) else config
