"""The options of ``blockyard prune``; no torch, so that ``--help`` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blockyard.commands.options import CHECKPOINT, RULES
from blockyard.commands.parser import OTHERS, SECTIONS, Parser
from blockyard.composing.run_directories import checkpoint_at

CRITERIA = ("L1", "L2", "FPGM", "BatchNormScale", "Taylor", "Activation", "Relevance", "Random", "Blend")
"""Names of the classes of :mod:`blockyard.compression`."""


def prune() -> Parser:
    """The parser of ``prune``."""
    parser = Parser(
        "prune",
        "Take the channels out of a trained classifier that a criterion holds for the least, and write a checkpoint of"
        " the smaller network, which test, predict, export and inspect take. Channels that are added up, scaled or read"
        " by several layers go together, by torch-pruning's dependency graph (pip install 'blockyard[prune]'); what"
        " remains is compared with the network whose channels are set to zero. docs/pruning.md says more.",
        OTHERS.format("test"),
        example=f"blockyard prune --ckpt_path {CHECKPOINT} --criterion L1 --keep 0.5",
        sections=SECTIONS,
    )
    number: dict[str, Any] = {"metavar": "N", "type": int}
    parser.add_argument(
        "--ckpt_path", metavar="X", type=lambda text: checkpoint_at(Path(text)), required=True, help="the checkpoint"
    )
    names = f"what a channel is worth: {', '.join(CRITERIA)} (default: %(default)s)"
    parser.add_argument("--criterion", metavar="NAME", choices=CRITERIA, default="L1", help=names)
    parser.add_argument(
        "--keep", metavar="SHARE", type=float, default=0.5, help="of the network's cost (default: %(default)s)"
    )
    parser.add_argument(
        "--measure",
        choices=("parameters", "macs", "latency"),
        default="parameters",
        help="what cost is; latency is timed here, one sample alone (default: %(default)s)",
    )
    parser.add_argument(
        "--scope",
        choices=("global", "layer"),
        default="global",
        help="channels compete across the network, or every group loses an equal share (default: %(default)s)",
    )
    _say_how(parser, number)
    return parser


def _say_how(parser: Parser, number: dict[str, Any]) -> None:
    """By how many steps and samples, and what comes after."""
    parser.add_argument("--steps", **number, default=1, help="prune little by little, scoring anew (default: 1)")
    parser.add_argument(
        "--samples", **number, default=64, help="training samples that a criterion sees (default: %(default)s)"
    )
    parser.add_argument(
        "--calibration",
        **number,
        default=0,
        help="training samples from which batch norms take their statistics anew (default: %(default)s)",
    )
    parser.add_argument("--epochs", **number, default=0, help="trained after each step (default: %(default)s)")
    parser.add_argument(
        "--lr_factor", metavar="X", type=float, default=0.1, help="of the learning rate there (default: %(default)s)"
    )
    parser.add_argument("--rule", choices=RULES, default="z_plus", help="of Relevance (default: %(default)s)")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="folder of the new run (default: one below runs/ of its own)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there already")
