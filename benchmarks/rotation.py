"""What a pretext without labels is worth where labels are few: turns of digits first, then 100 labels.

A small network learns from ten labels of each digit: from scratch; behind the weights that told turns apart on all
3,500 training pictures, where either its classifier alone is trained, or all of it. Accuracy is that of the last
weights on the 1,000 test pictures; nothing is chosen by it, and the 100 labels are others with every seed. One thread.

    python benchmarks/rotation.py --output benchmarks/results/rotation.csv
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.objectives import Rotation
from blockyard.tasks import ImageClassification

State = dict[str, Tensor]
LABELS = 10
"""Of each class."""
TRUNK = ["conv1", "layer*", "bn1", "conv2", "bn2"]
"""All but the classifier."""
ROWS: dict[str, dict[str, Any]] = {
    "from scratch": {"pretrained": False},
    "linear probe": {"pretrained": True, "freeze": TRUNK},
    "fine-tuned": {"pretrained": True},
}


def task(epochs: int, rate: float, **options: Any) -> ImageClassification:
    """The network, and how it is trained."""
    optimizer = partial(SGD, lr=rate, momentum=0.9, weight_decay=1e-4)
    backbone = partial(PreResNet, depth=8)
    return ImageClassification(backbone, 10, (1, 28, 28), optimizer=optimizer, lr_scheduler="cosine", **options)


def trainer(epochs: int) -> Trainer:
    """One that leaves nothing behind."""
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    return Trainer(accelerator="cpu", max_epochs=epochs, limit_val_batches=0, use_distributed_sampler=False, **silent)


def pretext(seed: int, epochs: int) -> tuple[State, float]:
    """The network's weights after the pretext, and the share of the test pictures' turns that it tells."""
    seed_everything(seed)
    module, data = task(epochs, 0.1, objective=Rotation()), Digits(batch_size=64)
    trainer(epochs).fit(module, data)
    with torch.no_grad():
        batches = [
            (len(batch["index"]), module.eval().objective.loss(module, batch)) for batch in data.test_dataloader()
        ]
    told = sum(count * float(logged["rotation_accuracy"]) for count, (_, logged) in batches)
    return module.network.state_dict(), told / sum(count for count, _ in batches)


def accuracy(seed: int, epochs: int, rate: float, weights: State | None, freeze: Sequence[str] = ()) -> float:
    """Test accuracy after a training on the few labels."""
    seed_everything(seed)
    module, data = task(epochs, rate, freeze=list(freeze) or None), Digits(batch_size=50, labels_per_class=LABELS)
    if weights is not None:
        module.network.load_state_dict(weights)
    fitting = trainer(epochs)
    fitting.fit(module, data)
    return float(fitting.test(module, data, verbose=False)[0]["test/top1"])
