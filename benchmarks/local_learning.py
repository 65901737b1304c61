"""How much memory local learning saves: what autograd keeps at once in a training step of K isolated parts.

A whole step, forward and backward, of networks for pictures with ``LocalReconstruction``, by the number of parts and
where they end; what is kept is counted while it is kept: a storage once, from when a backward pass needs it until that
is over. Weights, gradients and the optimiser's state, which do not depend on K, do not count. Nothing is random in it.

    python benchmarks/local_learning.py --csv benchmarks/results/local_learning.csv
"""

from __future__ import annotations

import argparse
import weakref
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import csv_files
import torch
from torch import Tensor, nn
from torch.optim import SGD

from blockyard.backbones import TimmBackbone
from blockyard.objectives import LocalReconstruction
from blockyard.tasks import ImageClassification

RESULTS = Path(__file__).parent / "results" / "local_learning.csv"
PARTS: dict[str, list[int | list[str]]] = {
    "swin_tiny_patch4_window7_224": [1, 2, 3, 4, 6, ["stage2.0"], ["stage1.0", "stage1.1", "stage2.1"]],
    "resnet50": [1, 2, 4, 8, ["stage1.1"], ["stage1.0", "stage1.2", "stage2.1"]],
}
"""What is divided, and how."""
BATCH, SIDE, CLASSES = 2, 224, 10


def peak_saved_bytes(function: Callable[[], Any]) -> int:
    """The most bytes that autograd keeps at once while a function runs backward passes of its own.

    Args:
        function: Computes something, and its gradients; parameters do not count.
    """
    users, sizes = Counter[int](), dict[int, int]()
    now = most = 0

    class Kept:
        """What autograd holds in place of a tensor."""

        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def release(address: int) -> None:
        nonlocal now
        users[address] -= 1
        if not users[address]:
            now -= sizes.pop(address)

    def pack(tensor: Tensor) -> Kept:
        nonlocal now, most
        kept = Kept(tensor)
        base = tensor if tensor._base is None else tensor._base
        if not isinstance(base, nn.Parameter):
            storage = tensor.untyped_storage()
            address = storage.data_ptr()
            if not users[address]:
                sizes[address] = storage.nbytes()
                now += sizes[address]
                most = max(most, now)
            users[address] += 1
            weakref.finalize(kept, release, address)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        function()
    return most


def of_a_step(make: Callable[[int, int], Any], parts: int | list[str], batch: int, shape: tuple[int, ...]) -> int:
    """The most bytes kept at once in a training step of a task with these parts."""
    torch.manual_seed(0)
    module = ImageClassification(make, CLASSES, shape, optimizer=SGD, objective=LocalReconstruction(parts)).train()
    optimizer = SGD(module.parameters(), 0.1)
    module.optimizers = lambda: optimizer  # type: ignore[method-assign, assignment, return-value]
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign, assignment]
    module._trainer = SimpleNamespace()  # type: ignore[assignment]
    given = {"input": torch.randn(batch, *shape), "target": torch.arange(batch) % CLASSES}
    return peak_saved_bytes(lambda: module.objective.step(module, given, 0))


def table(rows: list[dict[str, str]]) -> str:
    """Rows of the results as the page has them."""
    lines = ["| network | parts | they end behind | MB kept at once | less than end to end |"]
    lines += ["| --- | --: | --- | --: | --: |"]
    for row in rows:
        less = "" if row["parts"] == "1" else f"{100 - float(row['share']):.0f} %"
        ends = f"`{row['ends']}`" if row["ends"] else ""
        lines.append(f"| {row['network']} | {row['parts']} | {ends} | {float(row['saved_MB']):.1f} | {less} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Count, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, str]] = []
    for name, ways in PARTS.items():
        whole = 0
        for parts in ways:
            found = of_a_step(partial(TimmBackbone, name=name), parts, BATCH, (3, SIDE, SIDE))
            whole = whole or found
            ends = "" if isinstance(parts, int) else ", ".join(parts)
            number = parts if isinstance(parts, int) else len(parts) + 1
            row = {"network": name, "parts": str(number), "ends": ends, "saved_MB": f"{found / 1e6:.1f}"}
            rows.append(row | {"share": f"{100 * found / whole:.1f}", "torch": torch.__version__})
            print(rows[-1], flush=True)
    csv_files.write(options.csv, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
