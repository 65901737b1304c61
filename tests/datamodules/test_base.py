"""Data modules under a Trainer."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DistributedSampler

from blockyard.datamodules import Digits


class Watcher(LightningModule):
    """Keeps the indices of what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.trained = []

    def training_step(self, batch, batch_idx):
        self.trained.append(batch["index"].tolist())
        return self.weight * batch["input"].sum()

    def predict_step(self, batch, batch_idx):
        return batch["index"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0)


def trainer(**options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)


def test_prediction_is_complete_and_in_order():
    outputs = trainer().predict(Watcher(), datamodule=Digits("8x8", num_workers=1))
    assert torch.cat(outputs).tolist() == list(range(360))


def test_each_epoch_has_an_order_of_its_own_that_the_seed_repeats():
    runs = []
    for _ in range(2):
        model = Watcher()
        trainer(max_epochs=2).fit(model, datamodule=Digits("8x8", batch_size=400, seed=1))
        runs.append(model.trained)
    assert runs[0] == runs[1]
    assert runs[0][:3] != runs[0][3:]


def test_a_trainer_that_goes_on_sees_the_next_epochs():
    """``fit`` twice with one trainer is one training."""
    once, twice = Watcher(), Watcher()
    trainer(max_epochs=2).fit(once, datamodule=Digits("8x8", batch_size=400, seed=1, num_workers=1))
    same = trainer(max_epochs=1)
    data = Digits("8x8", batch_size=400, seed=1, num_workers=1)
    same.fit(twice, datamodule=data)
    same.fit_loop.max_epochs = 2
    same.fit(twice, datamodule=data)
    assert twice.trained == once.trained


def test_overfitting_on_a_few_batches_works():
    model = Watcher()
    trainer(overfit_batches=2, max_epochs=2).fit(model, datamodule=Digits("8x8", batch_size=100))
    assert model.trained[:2] == model.trained[2:]


@pytest.mark.parametrize("split", ["train", "test"])
def test_lightning_does_not_shard_what_is_sharded(split):
    loader = getattr(Digits("8x8"), f"{split}_dataloader")()
    assert isinstance(loader.sampler, DistributedSampler)
