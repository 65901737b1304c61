"""Time and memory of the paper's segmentation head at a Cityscapes crop: 512 × 1024 pixels, N = 8,192 positions.

One forward and backward of the head alone on a feature map (1, 2048, 64, 128), float32: 3×3 convolution to 512, block,
3×3 convolution, concatenation, 3×3 convolution, classifier; N² is 67 million. Time on the CPU is processor time, to
which a busy machine adds little. Every candidate runs in a process of its own, so that its peak is its own; what the
block adds is the difference to the head without one. That no tensor of the spectral block has N² numbers is asserted
twice: every tensor that is made is looked at, and what the block adds to the peak is less than one such matrix.

    python benchmarks/segmentation.py --csv benchmarks/results/segmentation.csv
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import csv_files
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from blockyard.costs import count_macs, count_parameters, saved_activation_bytes
from blockyard.heads.decode_head import register_own_heads

HEIGHT, WIDTH, CHANNELS, CLASSES = 64, 128, 2048, 19  # a crop of 512 × 1024 at stride 8
N = HEIGHT * WIDTH
CANDIDATES: dict[str, dict[str, Any]] = {
    "none": {"type": "FCNHead"},
    "SNL": {"type": "BlockHead", "block": "SpectralNonlocal"},
    "SNL materialised": {"type": "BlockHead", "block": {"type": "SpectralNonlocal", "evaluation": "dense"}},
    "gSNL, order 3": {"type": "BlockHead", "block": {"type": "SpectralNonlocal", "order": 3}},
    "NL": {"type": "BlockHead", "block": "Nonlocal"},
    "NL mmseg": {"type": "NLHead"},
}


class Largest(TorchDispatchMode):
    """The most numbers that any tensor had, intermediate ones included."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and look at what it gives."""
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


class Alone(nn.Module):
    """A head as a network of one map, so that costs can be counted."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a map ``(B, C, H, W)``."""
        return self.head([x])


def make(name: str) -> Alone:
    """Return a candidate in training mode, gates open."""
    register_own_heads()
    from mmseg.registry import MODELS

    sizes = {"in_channels": CHANNELS, "channels": 512, "num_classes": CLASSES, "in_index": 0}
    head = MODELS.build({**CANDIDATES[name], **sizes, "norm_cfg": {"type": "BN"}})
    for key, parameter in head.named_parameters():
        if key.startswith(("block", "nl_block")) and ("norm" in key or ".bn" in key):
            nn.init.ones_(parameter)
    return Alone(head.train())


def measure(name: str, device: torch.device, rounds: int) -> dict[str, Any]:
    """Return one row; to be called in a process of its own."""
    torch.manual_seed(0)
    network = make(name).to(device)
    x = torch.randn(1, CHANNELS, HEIGHT, WIDTH, device=device)

    def step() -> None:
        network(x).square().mean().backward()

    with Largest() as largest:  # the warm-up too
        step()
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times = []
    for _ in range(rounds):
        start = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    peak = peak_bytes(device)
    saved = saved_activation_bytes(lambda: network(x))
    return {
        "block": name,
        "ms": round(1e3 * statistics.median(times), 1),
        "peak_MB": round(peak / 1e6, 1),
        "saved_MB": round(saved / 1e6, 1),
        "largest_tensor_M": round(largest.numbers / 1e6, 2),
        "parameters": count_parameters(network),
        "GMAC": round(count_macs(network.to("meta"), (CHANNELS, HEIGHT, WIDTH)) / 1e9, 1),
    }


def peak_bytes(device: torch.device) -> int:
    """Return the most memory that was in use: the device's, or the whole process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere a child process inherits its parent's peak, which is lower here
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_its_own_process(name: str, device: str, rounds: int) -> dict[str, Any]:
    """Return the row of a candidate measured by another process."""
    command = [sys.executable, __file__, "--only", name, "--device", device, "--rounds", str(rounds)]
    # Large blocks go back to the system when they are freed: the peak is that of what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def check(rows: dict[str, dict[str, Any]]) -> None:
    """Assert what the spectral block promises; its materialised form shows that the measurement would see a matrix."""
    matrix = 4 * N**2 / 1e6  # MB
    for name in ("SNL", "gSNL, order 3"):
        assert rows[name]["largest_tensor_M"] < N**2 / 1e6, f"{name} made a tensor of N² numbers"
        assert rows[name]["block_adds_MB"] < matrix, f"{name} adds {rows[name]['block_adds_MB']} MB to the peak"
    assert rows["SNL materialised"]["largest_tensor_M"] >= round(N**2 / 1e6, 2)
    assert rows["SNL materialised"]["block_adds_MB"] > matrix


def main() -> None:
    """Measure, print the table, check it, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", choices=CANDIDATES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.only:
        print(json.dumps(measure(options.only, device, options.rounds)))
        return
    label = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{label}; torch {torch.__version__}, {torch.get_num_threads()} threads; one forward and backward, medians")
    print(f"{'block':<18} {'ms':>9} {'peak MB':>9} {'block adds':>11} {'saved MB':>9} {'largest, M':>11} {'GMAC':>7}")
    rows: dict[str, dict[str, Any]] = {}
    for name in CANDIDATES:
        row = in_its_own_process(name, options.device, options.rounds)
        row["block_adds_MB"] = round(row["peak_MB"] - rows.get("none", row)["peak_MB"], 1)
        rows[name] = row
        line = "{block:<18} {ms:>9} {peak_MB:>9} {block_adds_MB:>11} {saved_MB:>9} {largest_tensor_M:>11} {GMAC:>7}"
        print(line.format(**row), flush=True)
    check(rows)
    print(f"The spectral block made no tensor of N² = {N**2:,} numbers.")
    head = {"hardware": label, "torch": torch.__version__, "threads": torch.get_num_threads(), "N": N, "batch": 1}
    csv_files.write(options.csv, [{**head, **row} for row in rows.values()])


if __name__ == "__main__":
    main()
