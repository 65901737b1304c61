"""What computing again saves and costs: a training step of reversible columns and stages beside the same that are kept.

Forward and backward of tiny networks, float32, all ways of one depth in turn within every round, so that a busy
machine slows them alike; the ratio is the median of those of the rounds to what keeps all. Memory is what autograd
keeps for the backward pass. The error is that of the gradients, as a part of their length, to those of what keeps all.

    python benchmarks/reversible.py --csv benchmarks/results/reversible.csv
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import time
from functools import partial
from pathlib import Path

import csv_files
import torch
from torch import Tensor, nn

from blockyard.backbones import RevCol
from blockyard.blocks import DepthwiseConvolution, ReversibleStage
from blockyard.costs import saved_activation_bytes

DEPTHS = (4, 8, 16, 32, 64)
WAYS = {"columns": ("all", "columns", "last"), "pairs of units": ("all", "last")}
"""What is kept, of each kind of network."""


def networks(kind: str, depth: int) -> dict[str, nn.Module]:
    """The same network, by what it keeps, in training; units of a fresh one, which do nothing, do something."""
    torch.manual_seed(0)
    if kind == "columns":
        mixer = partial(DepthwiseConvolution, kernel_size=3)
        made: nn.Module = RevCol(0, 16, depth, (1, 1), (16, 32), mixer)
    else:
        made = ReversibleStage(32, depth=depth)
    for name, parameter in made.named_parameters():
        if "layer_scale" in name or "project.1.weight" in name:
            nn.init.constant_(parameter, 0.1)
    found = {way: copy.deepcopy(made).train() for way in WAYS[kind]}
    for way, network in found.items():
        if isinstance(network, RevCol):
            network.keep = way
        elif isinstance(network, ReversibleStage):
            network.recompute = way == "last"
    return found


def step(network: nn.Module, x: Tensor) -> Tensor:
    """The gradients of a step, in one row."""
    network.zero_grad()
    given = network(x)
    given = given[-1] if isinstance(given, list) else given
    given.square().mean().backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def measure(kind: str, depth: int, rounds: int) -> list[dict[str, object]]:
    """One row for each of the ways."""
    found = networks(kind, depth)
    x = torch.randn(2, 16, 32, 32) if kind == "columns" else torch.randn(2, 32, 8, 8)
    times: dict[str, list[float]] = {way: [] for way in found}
    slopes = {way: step(network, x) for way, network in found.items()}  # warms up as well
    for index in range(rounds):
        for way in sorted(found, reverse=bool(index % 2)):
            start = time.perf_counter()
            step(found[way], x)
            times[way].append(time.perf_counter() - start)
    return [
        {
            "network": kind,
            "depth": depth,
            "keeps": way,
            "saved_kB": round(saved_activation_bytes(lambda way=way: found[way](x)) / 1e3, 1),
            "ms": round(1e3 * statistics.median(times[way]), 1),
            "time_to_all": round(statistics.median(b / a for a, b in zip(times["all"], times[way], strict=True)), 2),
            "gradient_error": f"{float((slopes[way] - slopes['all']).norm() / slopes['all'].norm()):.1e}",
        }
        for way in found
    ]


def main() -> None:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--depths", type=int, nargs="*", default=list(DEPTHS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    label = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{label}; torch {torch.__version__}, {torch.get_num_threads()} threads; a training step, medians")
    print(f"{'network':<15} {'depth':>5} {'keeps':<8} {'saved kB':>9} {'ms':>8} {'time':>5} {'error':>8}")
    table = []
    for kind in WAYS:
        for depth in options.depths:
            for row in measure(kind, depth, options.rounds):
                table.append({"hardware": label, "torch": torch.__version__, **row})
                line = "{network:<15} {depth:>5} {keeps:<8} {saved_kB:>9} {ms:>8} {time_to_all:>5} {gradient_error:>8}"
                print(line.format(**row), flush=True)
    csv_files.write(options.csv, table)


if __name__ == "__main__":
    main()
