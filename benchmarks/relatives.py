"""Time and memory of the nonlocal blocks beside their packaged forms: mmcv's, mmsegmentation's and timm's.

Forward and backward, float32, C = 256, batch 2; a block and its peers in turn within every round, medians. The same
layers on both sides: what the packages have no form of stands beside the formula, written out. Memory is what autograd
keeps for the backward pass.

    python benchmarks/relatives.py --csv benchmarks/results/relatives.csv
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import csv_files
import torch
from torch import Tensor, nn

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  # before mmsegmentation, which lacks operators without
from blockyard.blocks import CompactNonlocal, CrissCross, DisentangledNonlocal, DoubleAttention, Nonlocal
from blockyard.costs import saved_activation_bytes

CHANNELS, BATCH = 256, 2
SIDES = (14, 28, 56, 64)
NORM = {"type": "BN"}


class WrittenOut(nn.Module):
    """Double attention as its formula says: gather by weights over positions, spread by weights over channels."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.values, self.gather, self.spread = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.out, self.norm = nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """A map ``(B, C, H, W)`` of the same shape."""
        values, gather, spread = (conv(x).flatten(2) for conv in (self.values, self.gather, self.spread))
        mixed = values @ gather.softmax(2).transpose(1, 2) @ spread.softmax(1)
        return x + self.norm(self.out(mixed.unflatten(2, x.shape[2:])))


class Grouped(nn.Module):
    """Compact generalised nonlocal by its formula: in each group one number, the dot of all channels and positions."""

    def __init__(self, channels: int, inner: int, groups: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1, bias=False) for _ in range(3))
        self.out, self.norm = nn.Conv2d(inner, channels, 1, groups=groups, bias=False), nn.GroupNorm(groups, channels)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """A map ``(B, C, H, W)`` of the same shape."""
        theta, phi, g = (conv(x).unflatten(1, (self.groups, -1)).flatten(2) for conv in (self.theta, self.phi, self.g))
        mixed = theta * (phi * g).sum(2, keepdim=True)
        return x + self.norm(self.out(mixed.unflatten(2, (-1, *x.shape[2:])).flatten(1, 2)))


def pairs() -> dict[str, tuple[nn.Module, dict[str, nn.Module]]]:
    """The suite's blocks, and their peers by name; gates open."""
    from mmcv.cnn.bricks.non_local import NonLocal2d
    from mmcv.ops import CrissCrossAttention
    from mmseg.models.decode_heads.dnl_head import DisentangledNonLocal2d
    from timm.layers import NonLocalAttn

    c = CHANNELS
    timm = NonLocalAttn(c, use_scale=True, rd_ratio=0.5)
    disentangled = DisentangledNonLocal2d(in_channels=c, reduction=2, temperature=1.0, norm_cfg=NORM)
    found: dict[str, tuple[nn.Module, dict[str, nn.Module]]] = {
        "Nonlocal": (Nonlocal(c), {"mmcv": NonLocal2d(c, norm_cfg=NORM), "timm": timm}),
        "CrissCross, one pass": (CrissCross(c, passes=1), {"mmcv": CrissCrossAttention(c)}),
        "DisentangledNonlocal": (DisentangledNonlocal(c), {"mmsegmentation": disentangled}),
        "DoubleAttention": (DoubleAttention(c), {"formula": WrittenOut(c, c // 2)}),
        "CompactNonlocal": (CompactNonlocal(c), {"formula": Grouped(c, c // 2, CompactNonlocal(c).groups)}),
    }
    for block, peers in found.values():
        for network in (block, *peers.values()):
            for name, parameter in network.named_parameters():
                if parameter.ndim <= 1 and any(word in name for word in ("norm", ".bn", "gamma", "scale")):
                    nn.init.ones_(parameter)
    return found


def milliseconds(step: Callable[[], object]) -> float:
    """Wall time of a step."""
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


def rows_of(side: int, rounds: int) -> list[dict[str, object]]:
    """One row for each block and peer on a map of side × side positions."""
    x = torch.randn(BATCH, CHANNELS, side, side, requires_grad=True)
    rows = []
    for name, (block, peers) in pairs().items():
        networks = {"": block, **peers}
        times: dict[str, list[float]] = {key: [] for key in networks}
        for turn in range(rounds + 2):
            for key, network in networks.items():
                spent = milliseconds(lambda network=network: network(x).square().sum().backward())
                if turn >= 2:
                    times[key].append(spent)
        kept = {key: saved_activation_bytes(partial(network, x)) / x.nbytes for key, network in networks.items()}
        for peer in peers:
            ratios = sorted(a / b for a, b in zip(times[peer], times[""], strict=True))
            rows.append(
                {
                    "N": side**2,
                    "block": name,
                    "peer": peer,
                    "ms": round(statistics.median(times[""]), 2),
                    "peer_ms": round(statistics.median(times[peer]), 2),
                    "times": round(statistics.median(ratios), 2),
                    "least": round(ratios[0], 2),
                    "most": round(ratios[-1], 2),
                    "kept": round(kept[""], 2),
                    "peer_kept": round(kept[peer], 2),
                }
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    about = {"hardware": f"{platform.machine()}, {os.cpu_count()} cores", "torch": torch.__version__}
    table = [{**about, **row} for side in SIDES for row in rows_of(side, options.rounds)]
    csv_files.write(options.csv, table)


if __name__ == "__main__":
    main()
