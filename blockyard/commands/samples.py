"""The verb ``samples``: write sample data in the published layout of a data set."""

from __future__ import annotations

import inspect
from argparse import ArgumentError
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from jsonargparse import ArgumentParser

from blockyard import samples
from blockyard.composing.parser_messages import explain
from blockyard.mistakes import nearest

Writer = Callable[..., Path]


def writers() -> dict[str, Writer]:
    """What can be written: function ``write_<name>`` of each module ``samples.<name>`` that has one."""
    names = [module.name for module in iter_modules(samples.__path__)]
    modules = {name: import_module(f"{samples.__name__}.{name}") for name in names}
    return {name: getattr(modules[name], f"write_{name}") for name in names if hasattr(modules[name], f"write_{name}")}


def main(arguments: list[str]) -> int:
    """Write sample data; what was finished before is left as it is.

    Args:
        arguments: Command line tokens after the verb: a name, then options called as the writer's arguments.

    Returns:
        The exit code, 0.

    Raises:
        ValueError: If there is no such data, or an option is wrong.
    """
    known = writers()
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: blockyard samples NAME --root FOLDER [options]\n")
        for name, writer in known.items():
            print(f"  {name:<16} {(inspect.getdoc(writer) or '').splitlines()[0]}")
        print("\nblockyard samples NAME --help shows the options of one.")
        return 0
    name, *options = arguments
    if name not in known:
        raise ValueError(f"no sample data {name}; {nearest(name, known)}")
    _check_names(name, options, known[name])
    parser = ArgumentParser(prog=f"blockyard samples {name}", exit_on_error=False)
    parser.add_function_arguments(known[name], as_positional=False)
    try:
        chosen = parser.parse_args(options)
    except ArgumentError as error:
        raise ValueError(explain(str(error))) from error
    print(known[name](**chosen))
    return 0


def _check_names(name: str, options: list[str], writer: Writer) -> None:
    parameters = inspect.signature(writer).parameters
    given = [token[2:].partition("=")[0] for token in options if token.startswith("--")]
    if "help" in given or "-h" in options:
        return
    for option in given:
        if option not in parameters:
            raise ValueError(f"{name} has no option --{option}; {nearest(option, parameters)}")
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in given:
            raise ValueError(f"{name} needs --{option}")
