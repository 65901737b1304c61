"""fit, validate, test and predict."""

from __future__ import annotations

from functools import partial

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
    SuiteCLI(verb, compose(arguments, keep_trainer=verb == "fit"), needs_data=verb != "predict")
    return 0


fit, validate, test, predict = (partial(run, verb) for verb in ("fit", "validate", "test", "predict"))
"""Each called with the command line tokens after the verb."""
