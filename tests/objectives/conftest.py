"""What a short training leaves of a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor
from torch.optim import SGD

from blockyard.datamodules import Digits
from blockyard.objectives import Objective
from blockyard.tasks import ImageClassification

PLAIN = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


@pytest.fixture
def trained() -> Callable[..., dict[str, Tensor]]:
    """Called with a backbone and an objective or None: the network's weights after three steps on the digits."""

    def train(backbone: Any, objective: Objective | None) -> dict[str, Tensor]:
        seed_everything(1)
        options = {"num_classes": 10, "input_shape": (1, 8, 8), "optimizer": partial(SGD, lr=0.1, momentum=0.9)}
        module = ImageClassification(backbone, **options, objective=objective)
        trainer = Trainer(accelerator="cpu", **PLAIN, max_epochs=1, limit_train_batches=3, limit_val_batches=0)
        trainer.fit(module, Digits("8x8", batch_size=16))
        return module.network.state_dict()

    return train
