"""Factors of classes in the training loss: torch's mathematics, the same on any number of processes, and refusals."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from sklearn.utils.class_weight import compute_class_weight
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.tasks import ActionRecognition, AudioClassification, AudioTagging, ImageClassification, Mixing
from blockyard.training.bias_loss import BiasLoss
from blockyard.training.class_weights import balanced_weights
from blockyard.training.ema import EMA

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
WEIGHTS = [0.5, 1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 1.0, 0.25, 1.0]
X, TARGET = torch.randn(8, 1, 8, 8), torch.tensor([0, 1, 2, 3, 5, 5, 8, 9])


class Uneven(Digits):
    """Digits of which class k keeps every (k + 1)-th training sample."""

    def __init__(self, without: int | None = None, **options):
        super().__init__("8x8", augment=False, batch_size=32, **options)
        self.without = without

    def load(self, split):
        found = super().load(split)
        if split == "train":
            turn = [int((found.targets[:i] == label).sum()) for i, label in enumerate(found.targets)]
            kept = np.flatnonzero((np.array(turn) % (found.targets + 1) == 0) & (found.targets != self.without))
            found.images, found.targets = found.images[kept], found.targets[kept]
            found.names = [found.names[i] for i in kept]
        return found


def task(kind=ImageClassification, **options) -> ImageClassification:
    torch.manual_seed(1)
    network = partial(PreResNet, depth=8, dropout=0.0)
    return kind(network, 10, (1, 8, 8), optimizer=partial(SGD, lr=0.1, momentum=0.9), **options)


def trainer(**options) -> Trainer:
    return Trainer(accelerator="cpu", **PLAIN | {"enable_checkpointing": False, "max_epochs": 1} | options)


class TestMathematics:
    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    @pytest.mark.parametrize("kind", [ImageClassification, ActionRecognition, AudioClassification])
    def test_it_is_the_cross_entropy_of_torch_by_the_sum_of_the_weights(self, kind, smoothing):
        module = task(kind, class_weights=WEIGHTS, label_smoothing=smoothing)
        logits = module(X)
        expected = F.cross_entropy(logits, TARGET, torch.tensor(WEIGHTS), label_smoothing=smoothing)
        torch.testing.assert_close(module.loss(logits, TARGET), expected)
        if not smoothing:
            each = F.cross_entropy(logits, TARGET, reduction="none")
            factors = torch.tensor(WEIGHTS)[TARGET]
            torch.testing.assert_close(module.loss(logits, TARGET), (factors * each).sum() / factors.sum())

    def test_shares_of_classes_are_weighed_class_by_class_and_divided_by_the_batch(self):
        module = task(class_weights=WEIGHTS)
        logits, shares = module(X), torch.rand(8, 10).softmax(1)
        expected = -(torch.tensor(WEIGHTS) * shares * logits.log_softmax(1)).sum() / 8
        torch.testing.assert_close(module.loss(logits, shares), expected)

    @pytest.mark.parametrize("kept", [torch.float64, torch.bfloat16])
    def test_networks_of_other_precision(self, kept):
        module = task(class_weights=WEIGHTS)
        logits = module(X).to(kept)
        expected = F.cross_entropy(logits.double(), TARGET, torch.tensor(WEIGHTS).double())
        # weights and logits are exact in float32, the sum is rounded there
        torch.testing.assert_close(module.loss(logits, TARGET).double(), expected, rtol=1e-5, atol=0)

    def test_a_batch_of_classes_without_weight_teaches_nothing(self):
        module = task(class_weights=WEIGHTS)
        loss = module.training_loss(X, torch.full((8,), 3))
        loss.backward()
        assert loss == 0
        assert all((parameter.grad == 0).all() for parameter in module.parameters())

    def test_weights_of_one_are_no_weights(self):
        plain, weighted = task(), task(class_weights=[1.0] * 10)
        torch.testing.assert_close(weighted.training_loss(X, TARGET), plain.training_loss(X, TARGET))
        assert plain.state_dict().keys() == weighted.state_dict().keys()

    def test_evaluation_knows_no_weights(self):
        found = []
        for options in ({}, {"class_weights": WEIGHTS}, {"class_weights": "balanced"}):
            module = task(**options)
            found.append(trainer().validate(module, Digits("8x8"), verbose=False))
            found[-1] += trainer().test(module, Digits("8x8"), verbose=False)
        assert found[0] == found[1] == found[2]


class TestBalanced:
    def test_the_weights_are_those_of_scikit_learn_and_average_to_one(self):
        data = Uneven()
        targets = data.split("train").targets
        found = balanced_weights(data)
        np.testing.assert_allclose(found, compute_class_weight("balanced", classes=np.arange(10), y=targets))
        assert np.take(found, targets).mean() == pytest.approx(1)

    @pytest.mark.parametrize("callbacks", [[], [EMA(0.5)]], ids=["plain", "averaged"])
    def test_training_uses_them(self, callbacks):
        data, states = Uneven(seed=0), []
        for weights in ("balanced", balanced_weights(data)):
            seed_everything(0)
            module = task(class_weights=weights)
            trainer(max_steps=3, callbacks=copy.deepcopy(callbacks)).fit(module, Uneven(seed=0))
            states.append(module.state_dict())
        assert states[0].keys() == task().state_dict().keys()
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())

    def test_a_class_without_a_sample_is_named(self):
        with pytest.raises(ValueError, match=r"class 4: no training sample, so that classes can't be balanced"):
            trainer().fit(task(class_weights="balanced"), Uneven(without=4))

    def test_twice_balanced_is_refused(self):
        with pytest.raises(ValueError, match=r"balanced on top of data\.class_sampling would count rare classes twice"):
            trainer().fit(task(class_weights="balanced"), Uneven(class_sampling="balanced"))

    def test_loaders_without_a_data_module_can_t_be_counted(self):
        loader = Digits("8x8").train_dataloader()
        with pytest.raises(ValueError, match="balanced counts the classes of the training data, which no data module"):
            trainer().fit(task(class_weights="balanced"), loader)


class TestWithOthers:
    def test_with_mixing_and_smoothing_it_trains(self):
        seed_everything(0)
        module = task(class_weights="balanced", mixing=Mixing(mixup_alpha=0.5), label_smoothing=0.1)
        trainer(max_steps=3, precision="bf16-mixed").fit(module, Uneven())
        assert all(value.isfinite().all() for value in module.state_dict().values())

    def test_a_loss_with_a_weight_gets_them(self):
        module = task(class_weights=WEIGHTS, loss=partial(BinaryCrossEntropy, smoothing=0.0))
        target = F.one_hot(TARGET, 10).float()
        expected = F.binary_cross_entropy_with_logits(module(X), target, torch.tensor(WEIGHTS))
        torch.testing.assert_close(module.training_loss(X, TARGET), expected)

    @pytest.mark.parametrize(
        "loss", [BiasLoss, LabelSmoothingCrossEntropy, partial(nn.CrossEntropyLoss, weight=torch.ones(10))]
    )
    def test_one_without_or_with_its_own_is_refused(self, loss):
        with pytest.raises(ValueError, match=r"class_weights: .* takes no weight for each class, or has its own"):
            task(class_weights=WEIGHTS, loss=loss)

    def test_labels_that_do_not_exclude_each_other_are_refused(self):
        with pytest.raises(ValueError, match="AudioTagging has labels that exclude no other"):
            task(AudioTagging, class_weights=WEIGHTS)


@pytest.mark.parametrize(
    ("weights", "wrong"),
    [
        ([1.0] * 9, "9 numbers"),
        ([], "0 numbers"),
        ([1.0] * 9 + [-1.0], "-1.0 for class 9"),
        ([float("nan")] + [1.0] * 9, "nan for class 0"),
        ([1.0] * 9 + [float("inf")], "inf for class 9"),
        ([0.0] * 10, "zeros alone"),
        ("even", "'even' is neither balanced nor 10 numbers"),
    ],
)
def test_what_are_no_weights_is_refused_with_the_number_of_classes(weights, wrong):
    with pytest.raises(ValueError, match=r"class_weights: .*10 numbers") as caught:
        task(class_weights=weights)
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)
