"""The options of the verbs that say what the package has, as :mod:`blockyard.commands.options` those of the others."""

from __future__ import annotations

import argparse
from pathlib import Path

from blockyard.commands.parser import Parser


def fetch() -> Parser:
    """The parser of ``fetch``."""
    parser = Parser(
        "fetch",
        "Download a published data set from its publisher, compare it with the publisher's checksum and unpack it where"
        " its configuration looks. What was broken off goes on with the same line. Without a name: what there is, its"
        " size and its terms.",
        "No other verb downloads data. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY).",
        example="blockyard fetch cifar10 --root data/cifar10",
    )
    parser.usage = "%(prog)s [NAME] [--root DIR] [options]"
    parser.add_argument("name", metavar="NAME", nargs="?", help="such as cifar10, that of its configuration")
    parser.add_argument(
        "--root", metavar="DIR", type=Path, default=Path("data"), help="that of --data.root DIR (default: %(default)s)"
    )
    parser.add_argument(
        "--mirror", metavar="URL", help="a folder with the archives under their published names, to fetch from instead"
    )
    parser.add_argument("--keep", action="store_true", help="keep the archive, in DIR, when it is unpacked")
    return parser


def configs() -> Parser:
    """The parser of ``configs``."""
    parser = Parser(
        "configs",
        "List the configurations that --config takes, and the studies that study takes, with what they are.",
        example="blockyard configs person_reid",
    )
    parser.add_argument("glob", nargs="?", default="*", help="such as person_reid, 'studies/*' (default: all)")
    return parser


def blocks() -> Parser:
    """The parser of ``blocks``."""
    parser = Parser(
        "blocks",
        "List what there is to plug in, with paper, parameters and costs on a map.",
        example="blockyard blocks '*Nonlocal'",
    )
    parser.add_argument("glob", nargs="?", default="*", help="such as '*Nonlocal' (default: all)")
    parser.add_argument(
        "--shape", default="256x28x28", help="CxS of the map, such as 256x8x14x14 (default: %(default)s)"
    )
    parser.add_argument("--format", choices=("table", "markdown"), default="table", help="markdown: with the options")
    parser.add_argument(
        "--columns",
        metavar="NAME,…",
        default="",
        help="which columns, in which order: slot, ranks, parameters, macs, year, paper (default: all that fit)",
    )
    return parser


def completion() -> Parser:
    """The parser of ``completion``."""
    parser = Parser(
        "completion",
        "Let a shell complete verbs, options, classes, places and what --config takes by TAB:"
        ' eval "$(blockyard completion bash)", or zsh, in the file that it reads at its start.',
        example="blockyard completion bash",
    )
    parser.usage = "%(prog)s bash|zsh"
    parser.add_argument("shell", choices=("bash", "zsh", "words"), help="words is what the shell asks then")
    parser.add_argument("line", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser
