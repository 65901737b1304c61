"""Time and memory of a training step: the skeletons, set up as published networks, beside timm's own networks.

Forward, backward and a step of AdamW, float32, both networks with the same weights and in turn within every round, so
that a busy machine slows both; the ratio is the median of those of the rounds. Memory is what autograd keeps for the
backward pass.

    python benchmarks/skeletons.py --csv benchmarks/results/skeletons.csv
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
import timm
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor, nn

import blockyard
from blockyard.backbones import Backbone
from blockyard.costs import saved_activation_bytes

NETWORKS = Path(blockyard.__file__).parent / "configs" / "image_classification" / "networks"
PAIRS = {
    "convnext-tiny": "convnext_tiny",
    "inceptionnext-tiny": "inception_next_tiny",
    "poolformerv2-s12": "poolformerv2_s12",
    "caformer-s18": "caformer_s18",
    "convit-tiny": "convit_tiny",
    "deit-tiny": "deit_tiny_patch16_224",
}
"""Configurations here, and what timm calls the same network."""
SIDE = 224


def pair(name: str, device: torch.device) -> dict[str, nn.Module]:
    """Ours and timm's, with the same weights, in training; neither drops paths."""
    config = yaml.safe_load((NETWORKS / f"{name}.yaml").read_text())["model"]["init_args"]["backbone"]
    config["init_args"].get("style", {}).pop("drop_path_rate", None)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--backbone", type=Callable[[int, int], Backbone])
    own = parser.instantiate(parser.parse_object({"backbone": config})).backbone(1000, 3)
    stock = timm.create_model(PAIRS[name])
    own.load_state_dict(own.renamed(stock.state_dict()))
    return {"blockyard": own.to(device).train(), "timm": stock.to(device).train()}


def seconds(step: Callable[[], object], device: torch.device) -> float:
    """Wall time of one step, the device's work included."""
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(name: str, batch: int, rounds: int, device: torch.device, warm_up: int = 2) -> list[dict[str, object]]:
    """One row a network of a pair."""
    networks = pair(name, device)
    optimizers = {who: torch.optim.AdamW(network.parameters(), 1e-6) for who, network in networks.items()}
    x = torch.randn(batch, 3, SIDE, SIDE, device=device)

    def step(who: str) -> Tensor:
        optimizers[who].zero_grad()
        loss = networks[who](x).square().mean()
        loss.backward()
        optimizers[who].step()
        return loss

    times: dict[str, list[float]] = {who: [] for who in networks}
    for index in range(rounds + warm_up):
        for who in sorted(networks, reverse=bool(index % 2)):
            elapsed = seconds(lambda who=who: step(who), device)
            if index >= warm_up:
                times[who].append(elapsed)
    ratio = statistics.median(b / a for a, b in zip(times["blockyard"], times["timm"], strict=True))
    return [
        {
            "network": name,
            "batch": batch,
            "by": who,
            "ms": round(1e3 * statistics.median(times[who]), 1),
            "speed_to_timm": round(ratio, 3) if who == "blockyard" else 1.0,
            "saved_MB": round(saved_activation_bytes(lambda who=who: networks[who](x)) / 1e6, 1),
        }
        for who in networks
    ]


def main() -> None:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--names", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    label = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{label}; torch {torch.__version__}, {torch.get_num_threads()} threads; a training step, medians")
    print(f"{'network':<20} {'by':<10} {'ms':>9} {'speed':>6} {'saved MB':>9}")
    table = []
    for name in options.names:
        for row in measure(name, options.batch, options.rounds, device):
            table.append({"hardware": label, "torch": torch.__version__, "timm": timm.__version__, **row})
            print("{network:<20} {by:<10} {ms:>9} {speed_to_timm:>6} {saved_MB:>9}".format(**row), flush=True)
    csv_files.write(options.csv, table)


if __name__ == "__main__":
    main()
