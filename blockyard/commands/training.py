"""fit, validate, test and predict."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from blockyard.commands.outcome import say
from blockyard.composing.composition import compose
from blockyard.composing.predicting import Prediction
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI


def run(verb: str, arguments: list[str], prediction: Prediction | None = None) -> int:
    """Carry out ``fit``, ``validate``, ``test`` or ``predict``.

    Args:
        verb: One of the four.
        arguments: Command line tokens after the verb.
        prediction: What ``predict`` reads and where it writes.

    Returns:
        The exit code, 0.

    Raises:
        ValueError: If the arguments are wrong, one line.
    """
    prepare()
    composed, needs_data = compose(arguments, keep_trainer=verb == "fit"), verb != "predict"
    say(verb, SuiteCLI(verb, composed, needs_data, prediction=prediction))
    return 0


def _verb(name: str) -> Callable[[Namespace, list[str]], int]:
    return lambda _, arguments: run(name, arguments)


fit, validate, test = map(_verb, ("fit", "validate", "test"))
"""Each called with options of its own, of which it has none, and the command line tokens after the verb."""


def predict(options: Namespace, arguments: list[str]) -> int:
    """Carry out ``predict``.

    Args:
        options: Its own options.
        arguments: The other command line tokens.

    Returns:
        The exit code, 0.
    """
    inputs, gallery = tuple(options.input), tuple(options.gallery)
    return run("predict", arguments, Prediction(inputs, gallery, options.output, options.overwrite))
