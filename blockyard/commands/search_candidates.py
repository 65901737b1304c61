"""The networks that a search chooses among, and what they are worth."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blockyard.commands.compressed_task import few_samples
from blockyard.commands.elastic_networks import ElasticNetworks
from blockyard.commands.search_file import Judged
from blockyard.commands.search_options import CRITERIA as NAMES
from blockyard.composing.suite import SuiteCLI
from blockyard.compression.criteria import FPGM, L1, L2, Criterion
from blockyard.compression.distilling import distil
from blockyard.compression.quantising import WHOLE, bytes_of, quantisable, quantise
from blockyard.compression.searching.channels import SubNetworks
from blockyard.compression.searching.reinforce import REMOVAL
from blockyard.compression.searching.space import Choice, Space
from blockyard.compression.statistics import recalibrate
from blockyard.compression.units import removable, remove
from blockyard.costs import count_macs, count_parameters, measure_throughput
from blockyard.leaderboard.bootstrap import bootstrap_mean
from blockyard.progress import at_work

CRITERIA: dict[str, type[Criterion]] = dict(zip(NAMES, (L1, L2, FPGM), strict=True))
BITS = "bits:"
"""What the names of choices of bits begin with; the path of a layer follows."""
UNITS = REMOVAL
"""What the names of choices of whether a unit stays begin with; its path follows."""
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
        self.options, self.task, self.data = options, cli.model, cli.datamodule
        self.network: nn.Module = cli.model.network
        self.shape = tuple(cli.datamodule.input_shape)
        self.example = torch.zeros(2, *self.shape, device=cli.model.device)
        if cli.model.quantised is not None:
            raise ValueError("search: its weights are quantised already; search the network that they come from")
        if not len(cli.datamodule.split("val")):
            raise ValueError("search: the data have no validation samples to judge by")
        self.samples = few_samples(cli, "val", options.samples, 0)
        if self.samples[0][1].dim() != 1:
            raise ValueError(f"search: it takes one label a sample, and {type(cli.model).__name__} has several")
        self.seen = [x for x, _ in few_samples(cli, "train", options.calibration, 0)]
        self.parts = self._parts()
        self.units = removable(self.network, self.example) if "units" in options.space else []
        self.layers = quantisable(self.network, self.example) if "bits" in options.space else []
        self.space = self._space()

    def _parts(self) -> SubNetworks | ElasticNetworks | None:
        if "elastic" in self.options.space and {"channels", "units"} & set(self.options.space):
            raise ValueError("search: --space elastic goes with bits alone: it chooses channels and units itself")
        if "elastic" in self.options.space:
            return ElasticNetworks(self.task)
        if "channels" not in self.options.space:
            return None
        with at_work("finding channels that go together"):
            return SubNetworks(self.network, self.example, CRITERIA[self.options.criterion](), self.options.shares)

    def _space(self) -> Space:
        choices = list(self.parts.space.choices) if self.parts else []
        values = tuple(sorted(set(self.options.bits)))
        units = [Choice(f"{UNITS}{path}", (False, True)) for path in self.units]
        return Space((*units, *choices, *(Choice(f"{BITS}{path}", values) for path in self.layers)))

    def network_of(self, chosen: Mapping[str, Any]) -> nn.Module:
        """The network of a candidate, in evaluation.

        Args:
            chosen: Values of choices, by name; what is not chosen stays as it is.
        """
        network = self._sub_network(chosen)
        quantise(network, bits_of(chosen, network), self.seen)
        return network

    def _sub_network(self, chosen: Mapping[str, Any]) -> nn.Module:
        """With its weights as floats."""
        smaller, removed = self.parts is not None and not self.parts.is_whole(chosen), removed_of(chosen)
        part = self.parts.of(chosen) if self.parts and smaller else copy.deepcopy(self.network).eval()
        if not smaller and not removed:
            return part
        remove(part, removed)
        recalibrate(part, self.seen)
        if self.options.epochs:
            self._distil(part)
        return part

    def _distil(self, part: nn.Module) -> None:
        """Train a part a little, on what training reads, to say what the whole network says."""
        optimizer = self.task.optimizer(part.parameters())
        for group in optimizer.param_groups:
            group["lr"] *= self.options.lr_factor
        with torch.random.fork_rng():
            torch.manual_seed(self.options.seed)
            distil(part, self.network.eval(), self._training_inputs, self.options.epochs, optimizer)

    def _training_inputs(self, epoch: int) -> Iterator[Tensor]:
        data, loader = self.data, self.data.train_dataloader()
        loader.sampler.set_epoch(epoch)  # whose order and augmentation it decides
        for batch in loader:
            yield data.on_before_batch_transfer(batch, 0)["input"].to(self.task.device)

    def judge(self, chosen: Mapping[str, Any]) -> Judged:
        """What the network of a candidate is worth and costs; its latency is that of floats.

        Args:
            chosen: Values of choices, by name; what is not chosen stays as it is.
        """
        network = self._sub_network(chosen)
        costs: Judged = {"parameters": count_parameters(network), "macs": count_macs(network, self.shape)}
        if "latency" in self.options.objectives:
            costs["latency"] = 1 / measure_throughput(network, self.shape, repeats=TIMED)
        quantise(network, bits_of(chosen, network), self.seen)
        costs["bytes"] = bytes_of(network, bits_of(chosen, network))
        right = self._right(network)
        interval = bootstrap_mean(right)
        accuracy = float(right.mean())
        low, high = (interval.low, interval.high) if interval else (accuracy, accuracy)
        return {"accuracy": accuracy, "low": low, "high": high, **costs}

    def _right(self, network: nn.Module) -> np.ndarray:
        """Which samples it is right about, ``(n,)``."""
        own, self.task.network = self.task.network, network
        try:
            with torch.no_grad():
                rows: list[Tensor] = [self.task.evaluate(x).argmax(1) == target for x, target in self.samples]
        finally:
            self.task.network = own
        return torch.cat(rows).cpu().numpy()


def removed_of(chosen: Mapping[str, Any]) -> list[str]:
    """The paths of the units that a candidate does without."""
    return [name.removeprefix(UNITS) for name, stays in chosen.items() if name.startswith(UNITS) and not stays]


def bits_of(chosen: Mapping[str, Any], network: nn.Module) -> dict[str, int]:
    """The bits of the layers that a candidate quantises, of those that its network has."""
    there = {path for path, _ in network.named_modules()}
    said = {name.removeprefix(BITS): bits for name, bits in chosen.items() if name.startswith(BITS)}
    return {path: bits for path, bits in said.items() if bits != WHOLE and path in there}
