"""A loss of another kind: what it gets, what it must not touch, and one loss however many processes share the batch."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.tasks import AudioTagging, ImageClassification, Mixing
from blockyard.training.bias_loss import BiasLoss

PLAIN = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
NETWORK = partial(PreResNet, depth=8, dropout=0.0)


def task(**options) -> ImageClassification:
    torch.manual_seed(1)
    return ImageClassification(NETWORK, 10, (1, 8, 8), optimizer=partial(SGD, lr=0.1, momentum=0.9), **options)


class Squared(nn.Module):
    """A loss without features."""

    def forward(self, logits, target):
        return (logits - F.one_hot(target, 10)).square().mean()


X, TARGET = torch.randn(6, 1, 8, 8), torch.arange(6)


def test_none_is_the_cross_entropy():
    module = task(label_smoothing=0.1)
    expected = F.cross_entropy(module(X), TARGET, label_smoothing=0.1)
    torch.testing.assert_close(module.training_loss(X, TARGET), expected)


def test_a_loss_gets_logits_and_target():
    module = task(loss=Squared)
    torch.testing.assert_close(module.training_loss(X, TARGET), (module(X) - F.one_hot(TARGET, 10)).square().mean())


def test_a_loss_that_asks_for_features_gets_the_last_map():
    module = task(loss=partial(BiasLoss, alpha=0.5))
    last, logits = module.network.map_and_logits(X)
    torch.testing.assert_close(module.training_loss(X, TARGET), BiasLoss(alpha=0.5)(logits, TARGET, last))


def test_mixed_samples_have_shares_of_classes():
    seed_everything(2)
    module = task(loss=BiasLoss, mixing=Mixing(mixup_alpha=1.0))
    Trainer(**PLAIN, max_steps=2, limit_val_batches=0).fit(module, Digits("8x8", batch_size=32))
    assert all(weights.isfinite().all() for weights in module.state_dict().values())


def test_evaluation_keeps_the_cross_entropy():
    scores = []
    for module in (task(), task(loss=BiasLoss)):
        Trainer(**PLAIN).test(module, Digits("8x8"), verbose=False)
        scores.append(module.sample_scores)
    assert torch.equal(scores[0]["loss"], scores[1]["loss"])


def test_learns_real_digits():
    seed_everything(0)
    module = task(loss=BiasLoss)
    trainer, data = Trainer(**PLAIN, max_epochs=3), Digits("8x8")
    trainer.fit(module, data)
    (metrics,) = trainer.test(module, data, verbose=False)
    assert metrics["test/top1"] > 0.7  # chance is 0.1


def test_every_parameter_gets_a_gradient():
    module = task(loss=BiasLoss)
    module.training_loss(X, TARGET).backward()
    assert all(parameter.grad is not None for parameter in module.network.parameters())


def test_smoothing_is_not_dropped_in_silence():
    with pytest.raises(ValueError, match="label_smoothing is the cross entropy's"):
        task(loss=BiasLoss, label_smoothing=0.1)
    smoothed = task(loss=partial(BiasLoss, label_smoothing=0.1)).training_loss(X, TARGET)
    assert smoothed != task(loss=BiasLoss).training_loss(X, TARGET)


def test_labels_of_their_own_have_a_loss_of_their_own():
    with pytest.raises(ValueError, match="leave loss away"):
        AudioTagging(partial(PreResNet, spatial_dims=1), 5, (1, 64), optimizer=partial(SGD, lr=0.1), loss=BiasLoss)


@pytest.mark.slow
class TestTwoProcesses:
    """Three steps of two processes give the weights that one process gets from the global batch."""

    @pytest.fixture(scope="class")
    def found(self, one_and_two_processes):
        """The weights of a process alone, and of ranks 0 and 1, by the name of the training."""
        return one_and_two_processes("train_few.py")

    # float64 on both sides; sums are taken in another order
    CLOSE = {"rtol": 1e-9, "atol": 1e-12}  # noqa: RUF012

    EQUAL = (
        *("cross entropy", "bias loss", "activated gradient", "activated update", "all, accumulated"),
        *("weighted", "balanced", "frozen", "drawn alike", "turned", "guided", "in parts", "prefixes", "shrunk"),
    )
    OTHERWISE = (
        *("bias loss of each process", "activated before the processes agree"),
        *("weighted by each process", "guided by each process"),
    )

    @pytest.mark.parametrize("name", EQUAL)
    def test_equal_one(self, found, name):
        alone, first, second = (torch.tensor(weights[name], dtype=torch.float64) for weights in found)
        torch.testing.assert_close(first, alone, **self.CLOSE)
        assert torch.equal(first, second)

    @pytest.mark.parametrize("name", OTHERWISE)
    def test_what_would_be_wrong_is_told_apart(self, found, name):
        alone, first, _ = (torch.tensor(weights[name], dtype=torch.float64) for weights in found)
        assert (alone - first).abs().max() > 1e-5

    def test_each_training_is_another(self, found):
        assert len({tuple(found[0][name]) for name in self.EQUAL}) == len(self.EQUAL)

    def test_what_is_frozen_is_that_of_the_beginning(self, found):
        seed_everything(0)
        start = nn.Conv2d(1, 8, 3, 2).weight.flatten().tolist()  # what the script makes first
        for weights in found:
            assert weights["frozen"][: len(start)] == start
            assert weights["weighted"][: len(start)] != start
