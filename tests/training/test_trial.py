"""Which losses train with which targets, found out before anything is read."""

from __future__ import annotations

import copy
import inspect

import pytest
import timm.loss
import torch
from torch import nn

from blockyard.cli import main
from blockyard.training.bias_loss import BiasLoss
from blockyard.training.trial import SAMPLES, try_out

CLASSES = 5
HARD = {"AsymmetricLossSingleLabel", "LabelSmoothingCrossEntropy"}
BOTH = {"BinaryCrossEntropy", "PolyCrossEntropy"}
SOFT = {"SoftTargetCrossEntropy", "AsymmetricLossMultiLabel", "DistributionBalancedLoss", "PolyBinaryCrossEntropy"}
SOFT |= {"TwoWayLoss", "ZlprLoss"}
"""What timm's documentation says of their targets; JsdCrossEntropy is for AugMix' three views of each sample."""
KINDS = {name: kind for name, kind in vars(timm.loss).items() if inspect.isclass(kind)}


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("classes", [2, CLASSES, SAMPLES])
def test_losses_of_timm(name, mixed, classes):
    counts = {"class_counts": [10] * classes, "num_samples": 10 * classes}
    loss = KINDS[name](**counts if name == "DistributionBalancedLoss" else {})
    if name in (BOTH | (SOFT if mixed else HARD)):
        try_out(loss, classes, mixed)
    else:
        with pytest.raises(ValueError, match=rf"loss: {name} does not (take the target|look at the labels)") as error:
            try_out(loss, classes, mixed)
        assert "\n" not in str(error.value)


def test_views_of_a_sample_that_there_are_not():
    """A batch that three divides would pass for AugMix' views, and two thirds of its labels for nothing."""
    with pytest.raises(ValueError, match="4 of 6 made no difference"):
        try_out(timm.loss.JsdCrossEntropy(), CLASSES, mixed=False)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (nn.CrossEntropyLoss(reduction="none"), r"it gives \(6,\) and not one number"),
        (nn.CrossEntropyLoss(weight=torch.full((CLASSES,), torch.inf)), "not finite"),
        (nn.CrossEntropyLoss(weight=torch.ones(CLASSES + 1)), "weight"),
    ],
)
def test_what_no_optimiser_can_lower(loss, said):
    with pytest.raises(ValueError, match=said):
        try_out(loss, CLASSES, mixed=False)


class Drawing(nn.Module):
    """A loss with a state, and one that draws: neither may show afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, logits, target):
        self.calls += 1
        return nn.functional.cross_entropy(logits + torch.randn_like(logits), target)


def test_leaves_no_trace():
    loss, state = Drawing(), torch.get_rng_state()
    before = copy.deepcopy(loss.state_dict())
    try_out(loss, CLASSES, mixed=False)
    assert torch.equal(loss.state_dict()["calls"], before["calls"])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loss_that_gets_features():
    try_out(BiasLoss(), CLASSES, mixed=True, like=torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["timm.loss.SoftTargetCrossEntropy"], "SoftTargetCrossEntropy does not take the target"),
        (["timm.loss.LabelSmoothingCrossEntropy", "--model.mixing.mixup_alpha", "0.2"], "as mixing makes them"),
        (["timm.loss.TwoWayLoss", "--model.loss.tp", "-1"], "TwoWayLoss(tp=-1.0): assert tp > 0"),
        (["timm.loss.BinaryCrossEntropy", "--model.loss.reduction", "foo"], "foo is not a valid value for reduction"),
    ],
)
def test_one_line_before_the_run_has_a_folder(tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    digits = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.backbone.depth", "8"]
    assert main(["fit", *digits, "--model.loss", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())
