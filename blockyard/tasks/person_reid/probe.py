"""How the frozen features of re-identification are judged: by a test, which learns nothing of the people in it."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer

from blockyard.analysis.probe import Probe, ranked
from blockyard.analysis.verdict import Verdict
from blockyard.datamodules import DataModule


def _people(trainer: Trainer, task: Any, data: DataModule, *_: Any) -> Verdict:
    """Of re-identification: a test, which learns nothing of the people in it."""
    trainer.test(task, data, verbose=False)
    if task.ranking is None or task.features is None:
        raise ValueError("no query has a match among what was read: lift the limits on the test's batches")
    found = {"query": len(task.query), "gallery": len(task.gallery)}
    return Verdict(
        f"the vectors that a test compares ({task.distance} distance), averaged over clips",
        task.features.shape[1],
        found,
        dict.fromkeys(found, 0),
        ranked(task.ranking),
    )


PROBE = Probe(_people, dict.fromkeys(("linear", "knn"), "nobody in the test was seen in training"))
