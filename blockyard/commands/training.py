"""fit, validate, test and predict."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from blockyard.commands.outcome import say
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI


def run(verb: str, arguments: list[str]) -> int:
    """Carry out ``fit``, ``validate``, ``test`` or ``predict``.

    Args:
        verb: One of the four.
        arguments: Command line tokens after the verb.

    Returns:
        The exit code, 0.

    Raises:
        ValueError: If the arguments are wrong, one line.
    """
    prepare()
    say(verb, SuiteCLI(verb, compose(arguments, keep_trainer=verb == "fit"), needs_data=verb != "predict"))
    return 0


def _verb(name: str) -> Callable[[Namespace, list[str]], int]:
    return lambda _, arguments: run(name, arguments)


fit, validate, test, predict = map(_verb, ("fit", "validate", "test", "predict"))
"""Each called with options of its own, of which it has none, and the command line tokens after the verb."""
