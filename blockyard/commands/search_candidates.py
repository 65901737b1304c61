"""The networks that a search chooses among, and what they are worth."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blockyard.commands.compressed_task import few_samples
from blockyard.commands.search_file import Judged
from blockyard.commands.search_options import CRITERIA as NAMES
from blockyard.composing.suite import SuiteCLI
from blockyard.compression.criteria import FPGM, L1, L2, Criterion
from blockyard.compression.searching.channels import SubNetworks
from blockyard.compression.searching.space import Space
from blockyard.compression.statistics import recalibrate
from blockyard.costs import count_macs, count_parameters, measure_throughput
from blockyard.leaderboard.bootstrap import bootstrap_mean
from blockyard.progress import at_work

CRITERIA: dict[str, type[Criterion]] = dict(zip(NAMES, (L1, L2, FPGM), strict=True))
TIMED = 50
"""Forwards of one sample whose median is the latency."""


class Candidates:
    """Makes networks, and judges them.

    Args:
        cli: With task and data.
        options: Those of the verb.

    Attributes:
        space: What may be chosen.

    Raises:
        ValueError: If the data or the network give nothing to choose or to judge by; one line.
    """

    def __init__(self, cli: SuiteCLI, options: Namespace) -> None:
        self.options, self.task = options, cli.model
        self.network: nn.Module = cli.model.network
        self.shape = tuple(cli.datamodule.input_shape)
        self.example = torch.zeros(2, *self.shape, device=cli.model.device)
        if not len(cli.datamodule.split("val")):
            raise ValueError("search: the data have no validation samples to judge by")
        self.samples = few_samples(cli, "val", options.samples, 0)
        if self.samples[0][1].dim() != 1:
            raise ValueError(f"search: it takes one label a sample, and {type(cli.model).__name__} has several")
        self.seen = [x for x, _ in few_samples(cli, "train", options.calibration, 0)]
        self.parts = self._sub_networks() if "channels" in options.space else None
        self.space = self._space()

    def _sub_networks(self) -> SubNetworks:
        with at_work("finding channels that go together"):
            return SubNetworks(self.network, self.example, CRITERIA[self.options.criterion](), self.options.shares)

    def _space(self) -> Space:
        spaces = [self.parts.space] if self.parts else []
        return Space(tuple(choice for space in spaces for choice in space.choices))

    def network_of(self, chosen: Mapping[str, Any]) -> nn.Module:
        """The network of a candidate, in evaluation.

        Args:
            chosen: A value of each choice, by name.
        """
        if self.parts is None or not self.parts.gone(chosen):
            return copy.deepcopy(self.network).eval()
        part = self.parts.of(chosen)
        recalibrate(part, self.seen)
        return part

    def judge(self, network: nn.Module) -> Judged:
        """What a network is worth and costs."""
        right = self._right(network)
        interval = bootstrap_mean(right)
        accuracy = float(right.mean())
        low, high = (interval.low, interval.high) if interval else (accuracy, accuracy)
        judged: Judged = {"accuracy": accuracy, "low": low, "high": high}
        judged |= {"parameters": count_parameters(network), "macs": count_macs(network, self.shape)}
        if "latency" in self.options.objectives:
            judged["latency"] = 1 / measure_throughput(network, self.shape, repeats=TIMED)
        return judged

    def _right(self, network: nn.Module) -> np.ndarray:
        """Which samples it is right about, ``(n,)``."""
        own, self.task.network = self.task.network, network
        try:
            with torch.no_grad():
                rows: list[Tensor] = [self.task.evaluate(x).argmax(1) == target for x, target in self.samples]
        finally:
            self.task.network = own
        return torch.cat(rows).cpu().numpy()
