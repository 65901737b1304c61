"""The command line. It imports no torch: each verb imports what it needs."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from blockyard.composing.processes import say_once
from blockyard.mistakes import mistake_in, nearest, printable_lines
from blockyard.version import __version__

VERBS = {
    "fit": ("train a network", "commands.training:fit"),
    "validate": ("evaluate a checkpoint on the validation split", "commands.training:validate"),
    "test": (
        "evaluate a checkpoint on the test split and write the record of the run",
        "commands.training:test",
    ),
    "predict": (
        "write what a checkpoint says of new samples: classes as CSV, masks as PNG, rankings of a gallery",
        "commands.training:predict",
    ),
    "off-the-shelf": (
        "judge frozen features by a linear classifier, nearest neighbours and retrieval",
        "commands.off_the_shelf:main",
    ),
    "export": (
        "write a trained network for other programs: ONNX, torch.export, a folder of the Hugging Face hub",
        "commands.export:main",
    ),
    "check-data": (
        "read everything that a configuration trains and tests on, and list what is damaged",
        "commands.check_data:main",
    ),
    "samples": ("write sample data in the published layout of a data set", "commands.samples:main"),
    "study": (
        "train and test a grid of plugs, backbones and seeds, here or on SLURM, then print the leaderboard",
        "commands.study:main",
    ),
    "leaderboard": (
        "compare the runs on record; leaderboard add | verify: take in and check records of others",
        "leaderboard:main",
    ),
    "blocks": ("list the blocks with paper, parameters and costs", "commands.catalogue:main"),
    "describe": ("show where blocks can go in a network, and what they would add", "commands.describe:main"),
    "inspect": (
        "draw what the nonlocal blocks of a checkpoint look at, and what they do to graph frequencies",
        "commands.inspect:main",
    ),
}
"""Each verb: what it does, and the function, imported when it is called for, that does it."""
VERIFY = "commands.verify:main"
"""``leaderboard verify``, which trains nothing but tests: the leaderboard itself knows only records."""
HELP = """usage: blockyard VERB [options]

{verbs}

  blockyard fit --config image_classification/digits.yaml --model.block SpectralNonlocal --model.at stage2.1
  blockyard test --ckpt_path runs/…/checkpoints/best.ckpt
  blockyard VERB --help shows the options of a verb; blockyard --version the version.

Configurations may name classes of this package, torch.optim, timm.optim and Lightning. To use your own, name their
package in the environment: BLOCKYARD_ALLOW=mypkg blockyard fit … --model.block mypkg.MyBlock"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments, by default those of the process.

    Returns:
        The exit code: 0; 75 after a training that left early and can go on; 2 after a mistake in the arguments or the
        data; 1 after a training that diverged, or if runs of a study failed, checked data are bad or a record was not
        verified.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        code = _carry_out(arguments[0] if arguments else "--help", arguments[1:])
        sys.stdout.flush()  # or Python would find only after this that the disk behind it is full
        return code
    except SystemExit as done:  # argparse ends --help and --print_config so
        return done.code if isinstance(done.code, int) else 0
    except Exception as error:
        mistake = mistake_in(error)
        if mistake is None:
            raise
        say_once(printable_lines(f"blockyard: {mistake}"))
        _drop_output()
        return 1 if isinstance(mistake, FloatingPointError) else 2


def _drop_output() -> None:
    """Let go of what could not be printed, or Python tries again at its end and exits by a code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _carry_out(verb: str, arguments: list[str]) -> int:
    if verb in ("-h", "--help"):
        print(HELP.format(verbs="\n".join(f"  {verb:<13} {what}" for verb, (what, _) in VERBS.items())))
        return 0
    if verb == "--version":
        print(f"blockyard {__version__}")
        return 0
    if verb not in VERBS:
        raise ValueError(f"no verb {verb}; {nearest(verb, VERBS)}")
    module, _, function = VERBS[verb][1].partition(":")
    if verb == "leaderboard" and arguments[:1] == ["verify"]:
        (module, _, function), arguments = VERIFY.partition(":"), arguments[1:]
    code: int = getattr(import_module(f"blockyard.{module}"), function)(arguments)
    return code
