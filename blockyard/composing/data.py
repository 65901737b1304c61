"""The data of a configuration, without model and trainer; sample data too go by their names alone."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import yaml
from jsonargparse import ArgumentParser

import blockyard.samples.modules
from blockyard.composing.naming import refuse_calls
from blockyard.composing.parser_messages import explain
from blockyard.composing.spoken import spoken
from blockyard.datamodules import DataModule

for part in iter_modules(blockyard.samples.modules.__path__, "blockyard.samples.modules."):
    import_module(part.name)


def build_data(config: dict[str, Any], options: Sequence[str] = ()) -> DataModule:
    """The data module that a configuration names.

    Args:
        config: A mapping with ``data``; what else is in it is not looked at.
        options: Command line tokens over it.

    Raises:
        ValueError: If its options are wrong.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(DataModule, "data")
    text = yaml.safe_dump({key: config[key] for key in ("data",) if key in config})
    try:
        parsed = parser.parse_args(["--config", text, *options])
    except ArgumentError as error:
        raise ValueError(explain(str(error))) from error
    refuse_calls(parsed)
    with spoken(lambda: parsed):
        data: DataModule = parser.instantiate_classes(parsed).data
    return data
