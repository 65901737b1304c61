"""Processes that judge the networks of a search, several at a time."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from blockyard.commands.compressed_task import built, composed_of, weights_of
from blockyard.commands.search_candidates import Candidates
from blockyard.commands.search_file import Judged

_candidates: Candidates | None = None
"""Of this process, once it has begun."""


class Judges:
    """Each has the network of the checkpoint, and its share of the processor's cores.

    Args:
        options: Those of the verb.
        rest: The other command line tokens.
    """

    def __init__(self, options: Namespace, rest: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")  # what forks torch's threads may wait for ever
        self.pool = ProcessPoolExecutor(options.jobs, context, begin, (options, list(rest)))

    def judge(self, chosen: Sequence[dict[str, Any]]) -> Iterator[Judged]:
        """What candidates are worth and cost, in their order, each as soon as it and those before it are judged."""
        return self.pool.map(judge, chosen)

    def end(self) -> None:
        """End the processes; what has not begun is left."""
        self.pool.shutdown(cancel_futures=True)


def begin(options: Namespace, rest: Sequence[str]) -> None:
    """Make this process one that judges; what the first process has said is not said again."""
    global _candidates
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.jobs))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        composed = composed_of(options, list(rest), "search")
        cli = built(composed, composed.saved or {}, weights_of(options), needs_data=bool(options.epochs))
        _candidates = Candidates(cli, options)


def judge(chosen: dict[str, Any]) -> Judged:
    """Judge a candidate in this process."""
    assert _candidates is not None
    return _candidates.judge(chosen)
