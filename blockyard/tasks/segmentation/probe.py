"""How the frozen features of segmentation are judged: by a linear classifier of the positions of the last map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader

from blockyard.analysis.feature_table import FeatureTable
from blockyard.analysis.features import Batch, Features, run
from blockyard.analysis.linear import LinearClassifier
from blockyard.analysis.probe import Probe, computing, fit_linear, needed, verdict
from blockyard.analysis.verdict import Options, Score, Verdict
from blockyard.datamodules import DataModule
from blockyard.tasks.segmentation.inference import largest
from blockyard.tasks.segmentation.metrics import IGNORED, confusion_of, mean_scores

DRAWS = 2_000
ENDS = (0.025, 0.975)
"""Percentiles of the ends of an interval."""


def _pixels(trainer: Trainer, task: Any, data: DataModule, options: Options, methods: tuple[str, ...]) -> Verdict:
    """Of tasks that name a class a pixel."""
    learnt = [name for name in needed(data, options, methods) if name != "test"]
    features = {
        name: read_positions(trainer, task, data.plain_dataloader(name), options.positions, f"Features of {name}").to(
            computing(trainer)
        )
        for name in learnt
    }
    classifier, strength = fit_linear(features, options, task.num_classes, computing(trainer))
    device = trainer.strategy.root_device
    single = LinearClassifier(classifier.weight.float().to(device), classifier.bias.float().to(device))
    counts = confusions(trainer, task, data.plain_dataloader("test"), single)
    if not counts.any():
        raise ValueError("no pixel of the test split has a label")
    found, drawn = mean_scores(counts.sum(0)), resampled_scores(counts)
    settings = {"strength": strength, "positions": options.positions}
    scores = []
    for metric, values in drawn.items():
        low, high = values.quantile(torch.tensor(ENDS, dtype=values.dtype)).tolist()
        scores.append(Score("linear", metric, float(found[metric]), low, high, settings))
    judged = verdict("positions of the last map that the heads see", features, scores)
    judged.samples["test"] = len(counts)
    return judged


def read_positions(trainer: Trainer, task: Any, loader: DataLoader, most: int, doing: str = "Features") -> Features:
    """Vectors of positions of the last map and the labels of the pixels in their middle, as samples of their own.

    Args:
        trainer: Decides device and precision.
        task: What holds the network.
        loader: Whole pictures in order.
        most: Labelled positions of a picture at most, drawn by the picture's place in the split alone.
        doing: What people are told that this is.

    Raises:
        ValueError: If no pixel of the split has a label.
        FloatingPointError: If a vector is not finite.
    """
    found: list[Tensor] = []
    table = FeatureTable(most * len(loader.dataset), Path(trainer.default_root_dir))  # type: ignore[arg-type]

    def step(batch: Batch) -> int:
        for picture, mask, index in zip(batch["input"], batch["target"], batch["index"].tolist(), strict=True):
            maps = last_map(task, picture)
            labels = interpolate(mask[None, None].float(), maps.shape[1:], mode="nearest-exact")[0, 0].long()
            places = (labels.flatten() != IGNORED).nonzero()[:, 0].cpu()
            order = torch.randperm(len(places), generator=torch.Generator().manual_seed(index))
            places = places[order[:most].sort().values].to(maps.device)
            table.add(maps.flatten(1)[:, places].T.cpu())
            found.append(labels.flatten()[places].cpu())
        return len(batch["index"])

    run(trainer, task, loader, step, doing)
    if not table.filled:
        raise ValueError("no pixel of a split has a label: there is nothing to learn from or to choose by")
    return Features(table.rows, torch.cat(found), 0)


def confusions(trainer: Trainer, task: Any, loader: DataLoader, classifier: LinearClassifier) -> Tensor:
    """Counts ``(n, K, K)`` of each picture's pixels, rows the true class; logits are enlarged bilinearly to the mask.

    Args:
        trainer: Decides device and precision.
        task: What holds the network.
        loader: Whole pictures in order.
        classifier: Of the positions of the last map.
    """

    def step(batch: Batch) -> list[Tensor]:
        found = []
        for picture, mask in zip(batch["input"], batch["target"], strict=True):
            maps = last_map(task, picture)
            with torch.autocast(maps.device.type, enabled=False):  # only the features have the trainer's precision
                logits = classifier(maps.movedim(0, -1)).movedim(-1, 0)
            labels = largest(logits, (mask.shape[0], mask.shape[1]), align_corners=False)
            found.append(confusion_of(labels, mask, task.num_classes).cpu())
        return found

    return torch.stack([counts for batch in run(trainer, task, loader, step, "Testing") for counts in batch])


def last_map(task: Any, picture: Tensor) -> Tensor:
    """The last map ``(D, h, w)`` that the heads see of a picture ``(C, H, W)``."""
    return task.network.maps(picture[None])[-1][0].float()


def resampled_scores(counts: Tensor, draws: int = DRAWS) -> dict[str, Tensor]:
    """Scores mIoU and aAcc of as many pictures drawn with replacement, ``(draws,)`` each.

    Args:
        counts: Confusions ``(n, K, K)`` of the pictures.
        draws: How often.
    """
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(len(counts), (draws, len(counts)), generator=generator)
    times = torch.zeros(draws, len(counts), dtype=torch.float64)
    times.scatter_add_(1, pictures, torch.ones_like(times))
    right, true, taken = (times @ part.double() for part in (counts.diagonal(0, 1, 2), counts.sum(2), counts.sum(1)))
    scores: dict[str, Any] = {"mIoU": (right / (true + taken - right)).nanmean(1)}
    return scores | {"aAcc": right.sum(1) / true.sum(1)}


PROBE = Probe(
    _pixels,
    dict.fromkeys(("knn", "retrieval"), "a picture has no class of its own"),
    {"linear": ("positions",)},
)
