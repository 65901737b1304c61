"""Each branch learns from its own view, and what makes one answer of both from their answers alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch import seed_everything
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet, TwoViewNet
from blockyard.objectives import TwoViews
from blockyard.tasks import AudioClassification, ImageClassification, PersonReID

SMALL = partial(TwoViewNet, width=2, hidden=4, dropout=0.0)


def task(backbone=SMALL, kind=ImageClassification, shape=(1, 28, 28), **options):
    seed_everything(1)
    options = {"optimizer": partial(SGD, lr=0.1), "objective": TwoViews(), **options}
    return kind(backbone, num_classes=3, input_shape=shape, **options)


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(4, 1, 28, 28), "target": torch.tensor([0, 2, 1, 2])}


def test_it_is_the_sum_of_three_losses_of_the_tasks_own():
    module, given = task(label_smoothing=0.1), batch()
    torch.manual_seed(3)
    loss, logged = module.objective.loss(module, given)
    torch.manual_seed(3)
    first, second = module.network.views(given["input"], module.objective.other_view(given["input"]))
    said = partial(F.cross_entropy, target=given["target"], label_smoothing=0.1)
    merged = module.network.classify(torch.cat([first, second], 1).relu())
    expected = [said(first[:, :, 0, 0]), said(second[:, :, 0, 0]), said(merged)]
    torch.testing.assert_close([*logged.values()], expected)
    torch.testing.assert_close(loss, sum(expected))


def test_each_branch_learns_from_its_own_answer_and_the_rest_from_both():
    module = task()
    branches = [f"layer1.0.{kind}" for kind in ("weight", "bias")] + ["layer2.0.weight", "answers.weight"]
    for number, name in enumerate(("first_loss", "second_loss", "merged_loss")):
        module.zero_grad()
        _, logged = module.objective.loss(module, batch())
        logged[name].backward()
        for path in branches:
            gradient = module.network.get_parameter(path).grad
            reached = [False, False] if gradient is None else [bool(half.any()) for half in gradient.chunk(2)]
            assert reached == [number == 0, number == 1], (name, path)
        assert (module.network.fc.weight.grad is not None) == (name == "merged_loss")


def test_another_view_of_nothing_is_the_picture_itself():
    x = torch.randn(3, 2, 9, 12, dtype=torch.float64)
    # where pixels come from is float32
    torch.testing.assert_close(TwoViews(0, 0, 0).other_view(x), x, atol=1e-5, rtol=0)


def test_a_quarter_turn_a_shift_and_a_zoom_are_what_they_are_called(monkeypatch):
    x = torch.arange(36.0).view(1, 1, 6, 6).double()
    drawn = torch.full((5, 1), 1.0)  # of [0, 1): the most in one direction
    monkeypatch.setattr(torch, "rand", lambda *_, **__: drawn)
    torch.testing.assert_close(TwoViews(0.25, 0, 0).other_view(x), x.rot90(1, (2, 3)), atol=1e-4, rtol=0)
    shifted = TwoViews(0, 0, 1 / 6).other_view(x)
    torch.testing.assert_close(shifted[..., :-1, :-1], x[..., 1:, 1:], atol=1e-4, rtol=0)
    # one step along the enlarged axis is 1.5 of the picture's: the middle of a linear picture shows it
    zoomed = TwoViews(0, 0.5, 0).other_view(x)[0, 0]
    assert float(zoomed[2, 3] - zoomed[2, 2]) == pytest.approx(1.5, abs=1e-4)
    assert float(zoomed[3, 2] - zoomed[2, 2]) == pytest.approx(9, abs=1e-4)


def test_a_turn_keeps_distances_in_pictures_that_are_not_square(monkeypatch):
    """The middle of a wide picture turned by a quarter is the middle of the turned picture."""
    x = torch.arange(5.0)[:, None] * 100 + torch.arange(9.0)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.full((5, 1), 1.0))
    turned = TwoViews(0.25, 0, 0).other_view(x[None, None])[0, 0]
    torch.testing.assert_close(turned[:, 2:7], x[:, 2:7].rot90(1, (0, 1)), atol=1e-2, rtol=0)


def test_every_picture_has_its_own_view():
    torch.manual_seed(0)
    x = torch.randn(1, 1, 8, 8).expand(3, 1, 8, 8)
    seen = TwoViews().other_view(x)
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="for a TwoViewNet's branches; PreResNet has none"):
        task(partial(PreResNet, depth=8))
    with pytest.raises(ValueError, match="turns pictures"):
        task(partial(SMALL, spatial_dims=1), AudioClassification, (1, 64))
    with pytest.raises(ValueError, match="which PersonReID has not"):
        task(partial(PreResNet, depth=8), PersonReID)
    with pytest.raises(ValueError, match=r"rotation=0\.1, zoom=1 and shift=0\.2 must be from 0 to 1, zoom below 1"):
        TwoViews(zoom=1)
