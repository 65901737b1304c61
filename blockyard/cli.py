"""The command line. It imports no torch: each verb imports what it needs."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from blockyard.commands import options, package_options, prune_options, search_options
from blockyard.commands.parser import Parser, listed, terminal_width, typed
from blockyard.composing.importing import imported
from blockyard.composing.processes import say_once
from blockyard.mistakes import WHOLE, mistake_in, nearest, own_code_in, printable_lines
from blockyard.version import __version__


class Verb(NamedTuple):
    """What the first words of a command line call for.

    Attributes:
        what: What it does.
        run: The function that does it, in a module that is imported when it is called for.
        parser: Makes the parser of its options, whose help needs nothing of that module; None where the module is as
            light and reads all options itself.
        again: What to do after it was stopped.
    """

    what: str
    run: str
    parser: Callable[[], Parser] | None = None
    again: str = ""


THE_SAME_LINE = "go on: the same line again"
NOTHING_KEPT = "before its first checkpoint"
"""How a note of a training ends that has nothing to go on with."""
INTERRUPTED, UNHEARD = 130, 141
"""Exit codes after Ctrl-C and when nobody reads the output any more: 128 and the number of SIGINT or SIGPIPE, as shells
have it."""


VERBS = {
    "fit": Verb(
        "train a network",
        "commands.training:fit",
        options.fit,
        again="go on: the same line with --ckpt_path last",
    ),
    "validate": Verb("evaluate a checkpoint on the validation split", "commands.training:validate", options.validate),
    "test": Verb(
        "evaluate a checkpoint on the test split and write the record of the run",
        "commands.training:test",
        options.test,
    ),
    "predict": Verb(
        "write what a checkpoint says of new samples: classes as CSV, masks as PNG, rankings of a gallery",
        "commands.training:predict",
        options.predict,
    ),
    "off-the-shelf": Verb(
        "judge frozen features by a linear classifier, nearest neighbours and retrieval",
        "commands.off_the_shelf:main",
        options.off_the_shelf,
    ),
    "export": Verb(
        "write a trained network for other programs: ONNX, torch.export, a folder of the Hugging Face hub",
        "commands.export:main",
        options.export,
    ),
    "prune": Verb(
        "take channels out of a trained classifier, and write a checkpoint of the smaller network",
        "commands.prune:main",
        prune_options.prune,
    ),
    "search": Verb(
        "find small networks within a trained classifier that are still good, and write their checkpoints",
        "commands.search:main",
        search_options.search,
        THE_SAME_LINE,
    ),
    "check-data": Verb(
        "read everything that a configuration trains and tests on, and list what is damaged",
        "commands.check_data:main",
        options.check_data,
    ),
    "suggest": Verb(
        "read a folder of your own and write the configuration that it asks for",
        "commands.suggest:main",
        options.suggest,
    ),
    "fetch": Verb(
        "download a published data set, check and unpack it",
        "commands.fetch:main",
        package_options.fetch,
        THE_SAME_LINE,
    ),
    "samples": Verb("write sample data in the published layout of a data set", "commands.samples:main"),
    "study": Verb(
        "train and test a grid of plugs, backbones and seeds, here or on SLURM, then print the leaderboard",
        "commands.study.main:main",
        options.study,
        THE_SAME_LINE,
    ),
    "profile": Verb(
        "find out what a block is for, on data that one ability decides",
        "commands.profile:main",
        options.profile,
        THE_SAME_LINE,
    ),
    "leaderboard": Verb(
        "compare the runs on record; leaderboard add takes in those of others", "leaderboard.command:main"
    ),
    "leaderboard verify": Verb(
        "test the checkpoint of a record again, and compare", "commands.verify:main", options.verify
    ),
    "configs": Verb("list the configurations and studies that ship", "commands.configs:main", package_options.configs),
    "blocks": Verb(
        "list the blocks with paper, parameters and costs", "commands.catalogue:main", package_options.blocks
    ),
    "describe": Verb(
        "show where blocks can go in a network, and what they would add", "commands.describe:main", options.describe
    ),
    "completion": Verb(
        'let bash or zsh complete words by TAB: eval "$(blockyard completion bash)"',
        "commands.completion:main",
        package_options.completion,
    ),
    "inspect": Verb(
        "draw what the nonlocal blocks of a checkpoint look at, and what they do to graph frequencies",
        "commands.inspect:main",
        options.inspect,
    ),
}
EXAMPLES = (
    "blockyard fit --config image_classification/digits.yaml --model.block SpectralNonlocal --model.at stage2.1",
    "blockyard test --ckpt_path runs/…/checkpoints/best.ckpt",
    "blockyard predict --ckpt_path runs/…/checkpoints/best.ckpt --input photos --output found.csv",
)
HELP = (
    "blockyard VERB --help shows the options of a verb; blockyard --version the version.",
    "Configurations may name classes of this package, torch.optim, timm.optim and Lightning. To use your own, name"
    " their package in the environment: BLOCKYARD_ALLOW=mypkg blockyard fit … --model.block mypkg.MyBlock",
)


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments, by default those of the process.

    Returns:
        The exit code: 0; 75 after a training that left early and can go on; 130 after Ctrl-C; 141 where nobody reads
        the output; 2 after a mistake in the arguments or the data; 1 after a training that diverged, after an error in
        code of one's own, or if runs of a study failed, checked data are bad or a record was not verified.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        try:
            code = _carry_out(arguments)
        except SystemExit as done:  # argparse ends --help and --print_config so
            if isinstance(done.__context__, KeyboardInterrupt):  # as Lightning ends a training
                raise done.__context__ from None
            code = done.code if isinstance(done.code, int) else 0
        sys.stdout.flush()  # or Python would find only after this that the disk behind it is full
        return code
    except KeyboardInterrupt as stop:
        say_once(_stopped(arguments, stop))
        _drop_output()
        return INTERRUPTED
    except BrokenPipeError:  # whoever read on, such as head, has enough
        _drop_output()
        return UNHEARD
    except Exception as error:
        mistake = mistake_in(error)
        said = mistake or (None if os.environ.get(WHOLE) else own_code_in(error))
        if said is None:
            raise
        say_once(printable_lines(f"blockyard: {said}"))
        _drop_output()
        return 2 if isinstance(mistake, ValueError) else 1


def _stopped(arguments: list[str], stop: KeyboardInterrupt) -> str:
    """Where Ctrl-C met it, and what to do then."""
    where = "".join(f" {note}" for note in getattr(stop, "__notes__", ()))
    verb = VERBS.get("".join(arguments[:1]))
    again = "the same line begins anew" if where.endswith(NOTHING_KEPT) else verb.again if verb else ""
    return f"blockyard: stopped{where}{f'; {again}' if again else ''}"


def _drop_output() -> None:
    """Let go of what could not be printed, or Python tries again at its end and exits by a code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _carry_out(arguments: list[str]) -> int:
    if arguments[:1] in ([], ["-h"], ["--help"]):
        _print_help()
        return 0
    if arguments[0] == "--version":
        print(f"blockyard {__version__}")
        return 0
    words = 2 if " ".join(arguments[:2]) in VERBS else 1
    name, arguments = " ".join(arguments[:words]), arguments[words:]
    if name not in VERBS:
        raise ValueError(f"no verb {name}; {nearest(name, VERBS)}")
    verb = VERBS[name]
    given: tuple[Any, ...] = (arguments,)
    if verb.parser:
        given = verb.parser().read(arguments)
        from blockyard.commands.named_files import look  # --help has ended, which takes no YAML

        look(name, *given)
    module, _, function = verb.run.partition(":")
    code: int = getattr(imported(f"blockyard.{module}"), function)(*given)
    return code


def _print_help() -> None:
    print("usage: blockyard VERB [options]\n")
    print(listed((name, verb.what) for name, verb in VERBS.items()))
    print("", *map(typed, EXAMPLES), sep="\n", end="")
    for paragraph in HELP:
        print(f"\n{textwrap.fill(paragraph, terminal_width())}")
