"""What a pretext without labels is worth where labels are few: turns of digits first, then 100 labels.

A small network learns from ten labels of each digit: from scratch; and behind weights that tell turns apart on all
3,500 training pictures, where all of it is trained or its classifier alone: by the recipe of the others, or as the
minimum of a logistic regression on features that stay as they are (``blockyard off-the-shelf``). The 100 pictures are
read as they are, or augmented; a regression reads them as they are. Accuracy is that of the last weights on the 1,000
test pictures. Each seed has its own 100 labels, the same for every row. One thread.

    python benchmarks/rotation.py
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor
from torch.optim import SGD

from blockyard.analysis.probe import judge
from blockyard.analysis.verdict import Options
from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.leaderboard.statistics import Estimate, estimate, paired_difference
from blockyard.objectives import Rotation
from blockyard.tasks import ImageClassification

State = dict[str, Tensor]
RESULTS = Path(__file__).parent / "results" / "rotation.csv"
PRETEXT, EPOCHS, LABELS = 5, 60, 10
"""Epochs of the pretext and of what follows, and labels of a class."""
PROBE = {"freeze": ["conv1", "layer*", "bn1", "conv2", "bn2", "dropout"]}
"""All but the classifier stays."""
ROWS: dict[str, tuple[bool, dict[str, Any]]] = {
    "from scratch": (False, {}),
    "fine-tuned": (True, {}),
    "classifier alone": (True, PROBE),
}
"""Whether a row begins with the weights of the pretext, and its options."""
READ = {"as they are": False, "augmented": True}
"""How the pictures with labels are read."""
STRENGTH = 0.01
"""Of the regression's regularisation, the same for all seeds: to choose it, a validation split would be more labels."""
Found = dict[tuple[str, str], float]


def task(**options: Any) -> ImageClassification:
    """The network and its recipe, which is the same for all."""
    optimizer = partial(SGD, lr=0.1, momentum=0.9, weight_decay=1e-4)
    backbone = partial(PreResNet, depth=8)
    return ImageClassification(backbone, 10, (1, 28, 28), optimizer=optimizer, lr_scheduler="cosine", **options)


def trainer(epochs: int) -> Trainer:
    """One that leaves nothing behind."""
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(accelerator="cpu", max_epochs=epochs, limit_val_batches=0, use_distributed_sampler=False, **silent)


def pretext(seed: int) -> State:
    """The network's weights after the pretext."""
    seed_everything(seed)
    module = task(objective=Rotation())
    trainer(PRETEXT).fit(module, Digits(batch_size=64))
    return module.network.state_dict()


def accuracy(seed: int, weights: State | None, options: dict[str, Any], augment: bool) -> float:
    """Test accuracy after a training on the few labels."""
    seed_everything(seed)
    module = task(**options)
    data = Digits(batch_size=50, labels_per_class=LABELS, augment=augment)
    if weights is not None:
        module.network.load_state_dict(weights)
    fitting = trainer(EPOCHS)
    fitting.fit(module, data)
    return round(float(fitting.test(module, data, verbose=False)[0]["test/top1"]), 4)


def regression(seed: int, weights: State) -> float:
    """Test accuracy of a logistic regression on what the classifier would see."""
    seed_everything(seed)
    module = task()
    module.network.load_state_dict(weights)
    options = Options(methods=("linear",), strength=STRENGTH)
    verdict = judge(trainer(0), module, Digits(batch_size=50, labels_per_class=LABELS, augment=False), options)
    return round(verdict.scores[0].value, 4)


def measured(seed: int) -> Found:
    """Accuracies of all rows, by how pictures are read."""
    weights = pretext(seed)
    found = {
        (read, row): accuracy(seed, weights if turned else None, options, augment)
        for read, augment in READ.items()
        for row, (turned, options) in ROWS.items()
    }
    return found | {("as they are", "linear probe"): regression(seed, weights)}


def table(each: dict[int, Found]) -> str:
    """Means over seeds, and differences from the first row, paired by seed, with 95 % intervals."""
    lines = ["| 100 labels | pictures | top1, % | beside from scratch |", "| --- | --- | --: | --: |"]
    for read, row in next(iter(each.values())):
        values, scratch = ({seed: found[read, name] for seed, found in each.items()} for name in (row, "from scratch"))
        difference = paired_difference(values, scratch) if row != "from scratch" else None
        lines.append(f"| {row} | {read} | {_text(estimate(list(values.values())))} | {_text(difference, '+')} |")
    return "\n".join(lines)


def _text(value: Estimate | None, sign: str = "") -> str:
    if value is None:
        return ""
    interval = "" if value.half_width is None else f" ± {100 * value.half_width:.1f}"
    return f"{100 * value.mean:{sign}.1f}{interval}"


def main() -> None:
    """Measure, write the CSV and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    begin = time.process_time()
    each = {seed: measured(seed) for seed in arguments.seeds}
    with arguments.output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("pictures", "row", "seed", "top1"))
        writer.writerows((*name, seed, value) for seed, found in each.items() for name, value in found.items())
    print(table(each))
    print(f"{len(each)} seeds, {time.process_time() - begin:.0f} s of one core")


if __name__ == "__main__":
    main()
