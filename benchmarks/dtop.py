"""What tokens that leave early save, and what that costs in accuracy, by threshold: a small transformer on scenes.

A transformer of 6 units, with heads behind units 3 and 4 too, learns from the 600 pictures of Scenes, all tokens to the
end. Then the same weights label the 150 test pictures with tokens leaving where the first heads are surer than a
threshold, five of each class kept; "none" is the network itself, without the first heads. MACs are counted picture by
picture; milliseconds are processor time of a picture, medians of rounds in which all thresholds take turns. One thread.

    python benchmarks/dtop.py --scenes DIR
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import csv_files
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor
from torch.optim import AdamW

from blockyard.backbones import Isotropic
from blockyard.blocks import SelfAttention
from blockyard.costs import macs_in
from blockyard.heads import EarlyExits, TokenPruning
from blockyard.samples.modules import Scenes
from blockyard.tasks import SemanticSegmentation
from blockyard.tasks.segmentation.metrics import confusion_of, mean_scores

RESULTS = Path(__file__).parent / "results" / "dtop.csv"
THRESHOLDS = (None, 1.0, 0.99, 0.95, 0.9, 0.8, 0.6)
"""None is the network itself."""
HEAD: dict[str, Any] = {"type": "FCNHead", "num_convs": 1, "kernel_size": 1, "concat_input": False, "channels": 32}
LOSS = {"loss_decode": {"type": "CrossEntropyLoss", "loss_weight": 0.4}}
QUANTILES = {"5 %": 0.05, "50 %": 0.5, "95 %": 0.95}
Network = Callable[[Tensor], Tensor]


def task(data: Scenes) -> SemanticSegmentation:
    """The network and its recipe."""
    mixers = partial(SelfAttention, head_width=32)
    trunk = partial(Isotropic, depths=[3, 1, 2], width=64, mixers=mixers, patch=8, input_size=[96, 96])
    return SemanticSegmentation(
        data.num_classes,
        data.input_shape,
        trunk,
        HEAD,
        [HEAD | LOSS | {"in_index": 0}, HEAD | LOSS | {"in_index": 1}],
        class_weights=[0.1, *[1.0] * (data.num_classes - 2), 0.5],
        optimizer=partial(AdamW, lr=2e-3, weight_decay=0.05),
        lr_scheduler="poly",
        warmup_epochs=1,
    )


def trained(data: Scenes, epochs: int) -> SemanticSegmentation:
    """The network with its weights after so many epochs."""
    seed_everything(0)
    module = task(data)
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    options: dict[str, Any] = {"limit_val_batches": 0, "use_distributed_sampler": False, **silent}
    Trainer(accelerator="cpu", max_epochs=epochs, **options).fit(module, data)
    return module.eval()


@torch.inference_mode()
def measured(network: Network, module: SemanticSegmentation, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores and costs of the test pictures, one by one."""
    confusion, macs = torch.zeros(module.num_classes, module.num_classes, dtype=torch.int64), []
    for sample in samples:
        (labels,), taken = macs_in(lambda one=sample: module.once(network, one["input"], [one["target"][0].shape]))
        confusion += confusion_of(labels, sample["target"][0], module.num_classes)
        macs.append(taken / 1e6)
    spread = torch.tensor(macs).quantile(torch.tensor([*QUANTILES.values()])).tolist()
    quantiles = {f"MMACs, {name}": round(value, 1) for name, value in zip(QUANTILES, spread, strict=True)}
    scores = {name: round(float(value), 4) for name, value in mean_scores(confusion).items() if name != "mDice"}
    return scores | {"MMACs, mean": round(statistics.mean(macs), 1)} | quantiles


@torch.inference_mode()
def seconds(network: Network, module: SemanticSegmentation, samples: list[dict[str, Any]]) -> float:
    """Processor time of a picture."""
    begin = time.process_time()
    for sample in samples:
        module.once(network, sample["input"], [sample["target"][0].shape])
    return (time.process_time() - begin) / len(samples)


def rows(module: SemanticSegmentation, data: Scenes, rounds: int) -> list[dict[str, Any]]:
    """A row a threshold."""
    split = data.split("test")
    samples = [split.collate([split[index] | {"index": index}]) for index in range(len(split))]
    networks: dict[float | None, Network] = {
        threshold: module if threshold is None else EarlyExits(module.network, TokenPruning(threshold))
        for threshold in THRESHOLDS
    }
    found = {threshold: measured(network, module, samples) for threshold, network in networks.items()}
    times = [{threshold: seconds(each, module, samples) for threshold, each in networks.items()} for _ in range(rounds)]
    hardware = {"hardware": f"{platform.machine()}, {os.cpu_count()} cores", "torch": torch.__version__}
    return [
        {"threshold": "none" if threshold is None else threshold, **found[threshold]}
        | {"ms": round(1e3 * statistics.median(each[threshold] for each in times), 2), **hardware}
        for threshold in THRESHOLDS
    ]


def table(found: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    lines = [
        "| threshold | mIoU, % | MMACs: mean | 5 % | 50 % | 95 % | ms |",
        "| --: | --: | --: | --: | --: | --: | --: |",
    ]
    for row in found:
        costs = (row[f"MMACs, {name}"] for name in ("mean", *QUANTILES))
        numbers = (f"{100 * row['mIoU']:.1f}", *(f"{value:.0f}" for value in costs), f"{row['ms']:.1f}")
        lines.append(f"| {row['threshold']} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def main() -> None:
    """Train, measure, write the CSV and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", default="data/scenes", help="folder of the pictures, made if missing")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--csv", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    data = Scenes(arguments.scenes, batch_size=8, num_workers=0)
    begin = time.process_time()
    module = trained(data, arguments.epochs)
    print(f"trained in {time.process_time() - begin:.0f} s of one core")
    found = rows(module, data, arguments.rounds)
    csv_files.write(arguments.csv, found)
    print(table(found))


if __name__ == "__main__":
    main()
