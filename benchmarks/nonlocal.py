"""Time and memory of the spectral nonlocal block against its materialised form and mmcv's nonlocal block.

Forward and backward, float32, C = 256, c = 128, all candidates in turn within every round of one run, so that a
busy machine slows all of them; medians. Memory is what autograd keeps for the backward pass.

    python benchmarks/nonlocal.py --csv benchmarks/results/nonlocal.csv
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import csv_files
import torch
from mmcv.cnn.bricks.non_local import NonLocal2d
from torch import Tensor, nn

from blockyard.blocks import Nonlocal, SpectralNonlocal
from blockyard.costs import saved_activation_bytes

CHANNELS = 256
SIDES = (8, 12, 14, 16, 20, 24, 28, 32, 40, 56, 64, 96, 128)  # N = 64 … 16,384


def candidates() -> dict[str, nn.Module]:
    """Return the networks to time, gates open."""
    networks: dict[str, nn.Module] = {
        "SNL": SpectralNonlocal(CHANNELS),
        "SNL materialised": SpectralNonlocal(CHANNELS, evaluation="dense"),
        "SNL associative": SpectralNonlocal(CHANNELS, evaluation="associative"),
        "NL": Nonlocal(CHANNELS),
        "NL mmcv": NonLocal2d(CHANNELS, norm_cfg={"type": "BN"}),
    }
    for network in networks.values():
        for name, parameter in network.named_parameters():
            if "norm" in name or ".bn" in name:
                nn.init.ones_(parameter)
    return networks


def seconds(step: Callable[[], object], device: torch.device) -> float:
    """Return the wall time of one step, the device's work included."""
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(side: int, batch: int, device: torch.device, rounds: int, warm_up: int = 2) -> list[dict[str, object]]:
    """Return one row a candidate for a map of side × side positions."""
    networks = {name: network.to(device) for name, network in candidates().items()}
    x = torch.randn(batch, CHANNELS, side, side, device=device, requires_grad=True)

    def step(network: nn.Module) -> Tensor:
        loss = network(x).square().sum()
        loss.backward()
        return loss

    times: dict[str, list[float]] = {name: [] for name in networks}
    for index in range(rounds + warm_up):
        for name, network in networks.items():
            elapsed = seconds(lambda network=network: step(network), device)
            if index >= warm_up:
                times[name].append(elapsed)
    rows = []
    for name, network in networks.items():
        rows.append(
            {
                "N": side * side,
                "batch": batch,
                "block": name,
                "ms": round(1e3 * statistics.median(times[name]), 2),
                "times_SNL": round(statistics.median(a / b for a, b in zip(times[name], times["SNL"], strict=True)), 2),
                "saved_MB": round(saved_activation_bytes(lambda network=network: network(x)) / 1e6, 1),
            }
        )
    return rows


def main() -> None:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    label = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{label}; torch {torch.__version__}, {torch.get_num_threads()} threads; ms forward + backward, medians")
    print(f"{'N':>6} {'B':>2}  {'block':<18} {'ms':>9} {'× SNL':>6} {'saved MB':>9}")
    table = []
    for side in SIDES:
        for row in measure(side, 2 if side <= 64 else 1, device, options.rounds if side <= 64 else 3):
            table.append({"hardware": label, "torch": torch.__version__, **row})
            print("{N:>6} {batch:>2}  {block:<18} {ms:>9} {times_SNL:>6} {saved_MB:>9}".format(**row), flush=True)
    csv_files.write(options.csv, table)


if __name__ == "__main__":
    main()
