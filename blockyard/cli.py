"""The command line. It imports no torch: each verb imports what it needs."""

from __future__ import annotations

import os
import sys

from blockyard.composing.processes import say_once
from blockyard.mistakes import mistake_in, nearest, printable_lines
from blockyard.version import __version__

VERBS = {
    "fit": "train a network",
    "validate": "evaluate a checkpoint on the validation split",
    "test": "evaluate a checkpoint on the test split and write the record of the run",
    "predict": "write what a checkpoint says of new samples: classes as CSV, masks as PNG, rankings of a gallery",
    "off-the-shelf": "judge frozen features by a linear classifier, nearest neighbours and retrieval",
    "export": "write a trained network for other programs: ONNX, torch.export, a folder of the Hugging Face hub",
    "check-data": "read everything that a configuration trains and tests on, and list what is damaged",
    "samples": "write sample data in the published layout of a data set",
    "study": "train and test a grid of plugs, backbones and seeds, here or on SLURM, then print the leaderboard",
    "leaderboard": "compare the runs on record; leaderboard add | verify: take in and check records of others",
    "blocks": "list the blocks with paper, parameters and costs",
    "describe": "show where blocks can go in a network, and what they would add",
    "inspect": "draw what the nonlocal blocks of a checkpoint look at, and what they do to graph frequencies",
}
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
        print(HELP.format(verbs="\n".join(f"  {verb:<13} {what}" for verb, what in VERBS.items())))
        return 0
    if verb == "--version":
        print(f"blockyard {__version__}")
        return 0
    if verb not in VERBS:
        raise ValueError(f"no verb {verb}; {nearest(verb, VERBS)}")
    if verb == "leaderboard" and arguments[:1] == ["verify"]:
        from blockyard.commands.verify import main as verify

        return verify(arguments[1:])
    if verb == "leaderboard":
        from blockyard.leaderboard import main as leaderboard

        return leaderboard(arguments)
    if verb == "export":
        from blockyard.commands.export import main as export

        return export(arguments)
    if verb == "check-data":
        from blockyard.commands.check_data import main as check_data

        return check_data(arguments)
    if verb == "off-the-shelf":
        from blockyard.commands.off_the_shelf import main as off_the_shelf

        return off_the_shelf(arguments)
    if verb == "samples":
        from blockyard.commands.samples import main as samples

        return samples(arguments)
    if verb == "study":
        from blockyard.commands.study import main as study

        return study(arguments)
    if verb == "blocks":
        from blockyard.commands.catalogue import blocks

        blocks(arguments)
        return 0
    if verb == "describe":
        from blockyard.commands.describe import describe

        describe(arguments)
        return 0
    if verb == "inspect":
        from blockyard.commands.inspect import main as inspect

        return inspect(arguments)
    from blockyard.commands.training import run

    run(verb, arguments)
    return 0
