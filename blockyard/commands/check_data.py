"""``blockyard check-data``: read everything once, before a training of days does."""

from __future__ import annotations

from argparse import ArgumentError

import yaml
from jsonargparse import ArgumentParser

from blockyard.commands.composition import compose
from blockyard.commands.parser_messages import explain
from blockyard.commands.training import prepare
from blockyard.datamodules import DataModule

USAGE = """usage: blockyard check-data --config CONFIG [--data.OPTION VALUE ...]

Reads every sample of the training, validation and test splits once, decoding videos whole, and lists those that
are damaged or missing: split, name, problem. --data.num_workers N reads in N processes. Exit code: 0 if all is well,
1 if something is bad."""
SPLITS = ("train", "val", "test")


def main(arguments: list[str]) -> int:
    """Check the data of a configuration.

    Args:
        arguments: Command line tokens after the verb, as for ``fit``; what is not about data is not looked at.

    Returns:
        0 if everything could be read, 1 otherwise.

    Raises:
        ValueError: If the configuration is wrong, or a split can't even be listed.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    data = build(arguments)
    checked = bad = 0
    for split in SPLITS:
        for name, problem in data.check(split):
            print(f"{split}  {name}: {problem}", flush=True)
            bad += 1
        checked += len(data.names(split))
    print(f"{checked} samples of {type(data).__name__} read, {bad} bad")
    return 1 if bad else 0


def build(arguments: list[str]) -> DataModule:
    """The data module of a configuration, without the model.

    Raises:
        ValueError: If there is none, or its options are wrong.
    """
    prepare()
    composed = compose(arguments, keep_trainer=True)
    if "data" not in composed.config and not any(option.startswith("--data") for option in composed.options):
        raise ValueError(f"nothing says which data to check; {USAGE.splitlines()[0]}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(DataModule, "data")
    config = yaml.safe_dump({key: composed.config[key] for key in ("data",) if key in composed.config})
    try:
        parsed = parser.parse_args(["--config", config, *composed.options])
    except ArgumentError as error:
        raise ValueError(explain(str(error))) from error
    data: DataModule = parser.instantiate_classes(parsed).data
    return data
