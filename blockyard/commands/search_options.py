"""The options of ``blockyard search``; no torch, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from blockyard.commands.options import CHECKPOINT
from blockyard.commands.parser import OTHERS, SECTIONS, Parser
from blockyard.composing.run_directories import checkpoint_at
from blockyard.mistakes import nearest

SPACES = ("channels", "units", "elastic", "bits")
STRATEGIES = ("random", "nsga2", "predicted", "reinforce")
OBJECTIVES = ("accuracy", "parameters", "macs", "bytes", "latency")
CRITERIA = ("L1", "L2", "FPGM")
"""Names of classes of :mod:`blockyard.compression.criteria` that look at weights alone."""
BITS = (2, 3, 4, 5, 6, 7, 8, 32)
"""Of a weight; 32 leaves a layer as it is."""

WHAT = (
    "Find networks within a trained classifier that are small and still good: of every choice of channels and bits"
    " some are judged on validation samples, and those that nothing beats are the front. channels: what share each"
    " group of channels keeps, statistics of batch norms taken anew (pip install 'blockyard[prune]'). units: which"
    " units stay. elastic: depths, kernels and expansions within what --model.objective ProgressiveShrinking trained."
    " bits: of the weights of each layer, quantised after training, its inputs and outputs to 8 bits. random is what"
    " the others have to beat at an equal budget; nsga2 evolves (pip install 'blockyard[search]'); predicted evolves"
    " on predictors that a few judged networks train, and judges the best; reinforce learns which units to remove,"
    " then what to shrink. The same line goes on where it was stopped, a larger --budget after its end. docs/search.md"
    " says more."
)
"""What the verb does."""


def search() -> Parser:
    """The parser of ``search``."""
    parser = Parser(
        "search",
        WHAT,
        OTHERS.format("test"),
        example=f"blockyard search --ckpt_path {CHECKPOINT} --space channels --strategy nsga2 --budget 64",
        sections=SECTIONS,
    )
    number: dict[str, Any] = {"metavar": "N", "type": int}
    parser.add_argument(
        "--ckpt_path", metavar="X", type=lambda text: checkpoint_at(Path(text)), required=True, help="the checkpoint"
    )
    _several(parser, "--space", SPACES, ["channels"], "what is chosen, jointly")
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        type=one_of(STRATEGIES),
        default="random",
        help=f"{', '.join(STRATEGIES)} (default: %(default)s)",
    )
    parser.add_argument("--budget", **number, default=64, help="networks that are judged (default: %(default)s)")
    _several(parser, "--objectives", OBJECTIVES, ["accuracy", "macs"], "what makes one better, two or more")
    _say_choices(parser)
    _say_samples(parser, number)
    parser.add_argument("--jobs", **number, default=1, help="processes that judge (default: %(default)s)")
    parser.add_argument("--seed", **number, default=0, help="of the search (default: %(default)s)")
    parser.add_argument("--write", **number, default=0, help="checkpoints of so many networks of the front")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("search"),
        help="STRATEGY-SEED.json of each search, front.png of all that are there (default: %(default)s)",
    )
    return parser


def _say_choices(parser: Parser) -> None:
    """What the choices of each space are."""
    shares: dict[str, Any] = {"metavar": "SHARE", "nargs": "+", "type": float}
    parser.add_argument(
        "--shares", **shares, default=[0.25, 0.5, 0.75, 1.0], help="of its channels that a group may keep (0.25 … 1)"
    )
    parser.add_argument(
        "--criterion", metavar="NAME", type=one_of(CRITERIA), default="L1", help="which ones: L1, L2, FPGM"
    )
    parser.add_argument(
        "--bits", metavar="N", nargs="+", type=_bits, default=[2, 3, 4, 6, 8], help="of a layer's weights (2 3 4 6 8)"
    )


def _say_samples(parser: Parser, number: dict[str, Any]) -> None:
    """What networks are judged and made good by."""
    parser.add_argument(
        "--samples", **number, default=1000, help="validation samples that judge (default: %(default)s)"
    )
    parser.add_argument(
        "--calibration",
        **number,
        default=256,
        help="training samples that set statistics and ranges (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        **number,
        default=0,
        help="trained to say what the whole network says (default: %(default)s)",
    )
    parser.add_argument(
        "--lr_factor", metavar="X", type=float, default=0.1, help="of the learning rate there (default: %(default)s)"
    )


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Reads one of some names; a mistake is told with the nearest."""

    def read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"there is no {text}; {nearest(text, names)}")
        return text

    return read


def _several(parser: Parser, option: str, names: Sequence[str], default: list[str], what: str) -> None:
    text = f"{what}: {', '.join(names)} (default: {' '.join(default)})"
    parser.add_argument(option, metavar="NAME", nargs="+", type=one_of(names), default=default, help=text)


def _bits(text: str) -> int:
    if text not in map(str, BITS):
        raise argparse.ArgumentTypeError(f"{text} bits are none of {', '.join(map(str, BITS))}")
    return int(text)
