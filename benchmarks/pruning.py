r"""Accuracy against MACs by each criterion of ``blockyard prune``, with the statistics that are left and with new ones.

Of every checkpoint each criterion scores the channels once, from 64 training samples where it looks at any; then
channels go, from the whole network's lowest scores, until as few MACs are left as asked, and the test split is
classified: once with what batch norms remember of the whole network, once with statistics of 512 training samples.
Nothing is trained in between. A checkpoint is one seed; ``docs/pruning.md`` shows means over five.

    for seed in 0 1 2 3 4; do
      blockyard fit --config image_classification/digits.yaml --model.backbone TimmBackbone \
        --model.backbone.name resnet18 --seed_everything $seed --trainer.default_root_dir digits-$seed
      blockyard fit --config audio_classification/spoken_commands.yaml --trainer.max_epochs 12 \
        --seed_everything $seed --trainer.default_root_dir spoken-$seed
    done
    python benchmarks/pruning.py --csv benchmarks/results/pruning.csv {digits,spoken}-?/checkpoints/best.ckpt
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import csv_files
import torch
from torch import nn

from blockyard.commands import prune_options
from blockyard.commands.prune import CRITERIA, Run
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.compression.criteria import Samples
from blockyard.compression.groups import Group
from blockyard.compression.statistics import recalibrate
from blockyard.compression.surgery import prunable
from blockyard.compression.surgery import prune as cut
from blockyard.compression.target import cost, fewest, order
from blockyard.leaderboard.identity import SEED

KEEP = (0.9, 0.8, 0.65, 0.5, 0.35, 0.2)
CALIBRATION = 512


def accuracy(network: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """The share of samples that are classified right."""
    with torch.inference_mode():
        right = [network.eval()(x).argmax(1) == target for x, target in batches]
    return round(float(torch.cat(right).double().mean()), 6)


def rows_of(checkpoint: Path) -> Iterator[dict[str, Any]]:
    """A row for each criterion, share and statistics."""
    options, _ = prune_options.prune().read(["--ckpt_path", str(checkpoint), "--measure", "macs"])
    composed = compose(["--ckpt_path", str(checkpoint)], keep_trainer=False)
    composed.config["trainer"] = {"devices": 1, **composed.config.get("trainer", {}), "logger": False}
    run = Run(options, composed)
    network, shape = run.cli.model.network.eval(), run.shape
    data: Any = run.cli.datamodule
    test = [data.on_before_batch_transfer(batch, 0) for batch in data.plain_dataloader("test")]
    pairs = [(batch["input"], batch["target"]) for batch in test]
    inputs = [x for x, _ in run.samples(CALIBRATION).batches]
    about = {"data": type(data).__name__, "seed": run.config[SEED]}
    whole = cost(network, "macs", shape)

    def row(criterion: str, keep: float, part: nn.Module, statistics: str) -> dict[str, Any]:
        sizes = {"MACs": round(cost(part, "macs", shape)), "parameters": sum(p.numel() for p in part.parameters())}
        return about | {
            "criterion": criterion, "keep": keep, "statistics": statistics, **sizes, "top1": accuracy(part, pairs)
        }  # fmt: skip

    yield row("none", 1.0, network, "left")
    example = torch.zeros(2, *shape)
    groups = prunable(network, example)
    for name in CRITERIA:
        options.criterion = name
        for keep, part in parts(run, network, groups, whole, example):
            yield row(name, keep, part, "left")
            recalibrate(part, inputs)
            yield row(name, keep, part, "new")


def parts(
    run: Run, network: nn.Module, groups: list[Group], whole: float, example: torch.Tensor
) -> Iterator[tuple[float, nn.Module]]:
    """What a criterion leaves of a network, for each share of MACs that can be reached."""
    criterion = run.made_criterion()
    open_groups = [group for group in groups if not group.closed]
    samples = run.samples(run.options.samples) if criterion.needs_samples else Samples()
    scores = criterion.scores(network, open_groups, samples)
    ordered = order(criterion, scores, open_groups, "global")
    for keep in KEEP:
        gone = fewest(network, groups, ordered, example, "macs", keep * whole)
        yield keep, cut(network, groups, gone, example)


def main() -> None:
    """Prune, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    prepare()
    found: list[dict[str, Any]] = []
    for checkpoint in options.checkpoints:
        for row in rows_of(checkpoint):
            found.append(row)
            print(*row.values(), flush=True)
        csv_files.write(options.csv, found)


if __name__ == "__main__":
    main()
