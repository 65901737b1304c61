"""What re-identification minimises by itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from blockyard.objectives.base import Default, Logged


class IdentityAndMetric(Default):
    """Cross entropy over the training identities, plus a metric loss over the vectors of the *global* batch."""

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The sum for ``input`` ``(B, 3, H, W)`` or ``(B, 3, T, H, W)`` and ``target`` ``(B,)``."""
        vectors, logits = task.network.identify(batch["input"])
        identity = task.identity_loss(logits, batch["target"])
        if task.metric_loss is None:
            return identity, {"identity_loss": identity}
        metric = task.metric_loss(*_of_all_ranks(task, vectors.float(), batch["target"]))
        return identity + task.metric_weight * metric, {"identity_loss": identity, "metric_loss": metric}


def _of_all_ranks(task: Any, vectors: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors and identities of the global batch: on any number of processes the same triplets are formed."""
    if task.trainer.world_size == 1:
        return vectors, target
    everyone = task.all_gather(vectors, sync_grads=True), task.all_gather(target)
    return everyone[0].flatten(0, 1), everyone[1].flatten(0, 1)
