"""The head in a network: what trains, what predicts, what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockyard.backbones import Backbone, Stage
from blockyard.costs import count_macs
from blockyard.heads import Segmentor, make_segmentor
from blockyard.heads.oneformer.losses import SetLoss, Target, unsure_places
from blockyard.heads.oneformer.text import QueryTexts
from blockyard.heads.oneformer.transformer_decoder import Prediction
from blockyard.plugging.merging import merge
from blockyard.tasks.segmentation.losses import HardPixels, mine_hard_pixels, weigh_classes

TINY: dict[str, Any] = {
    **{"type": "OneFormerHead", "channels": 16, "num_queries": 6, "encoder_layers": 1, "query_layers": 1},
    **{"decoder_layers": 2, "text_layers": 1, "num_heads": 2, "contexts": 1, "num_points": 32, "dropout": 0},
}


class Pyramid(Backbone):
    """A convolution a level, from half the size on."""

    def __init__(self, widths: tuple[int, ...] = (4, 6, 8, 10)) -> None:
        super().__init__(0, 3)
        ends = zip((3, *widths), widths, strict=False)
        self.levels = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in ends)
        self.stages = tuple(Stage(f"levels.{i}", width, 2 ** (i + 1)) for i, width in enumerate(widths))

    def features(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for level in self.levels:
            maps.append(level(maps[-1] if maps else x))
        return maps


def network(widths: tuple[int, ...] = (4, 6, 8, 10), **options: Any) -> Segmentor:
    return make_segmentor(Pyramid(widths), TINY | options, [], 3)


def batch() -> tuple[Tensor, Tensor]:
    target = torch.zeros(2, 32, 48, dtype=torch.long)
    target[0, 4:20, 4:20], target[1, 10:, 30:], target[:, :2] = 1, 2, 255
    return torch.randn(2, 3, 32, 48), target


@pytest.mark.parametrize("widths", [(8,), (4, 8), (4, 6, 8, 10, 12)])
def test_takes_pyramids_of_any_height(widths: tuple[int, ...]):
    """Of five maps the last four, as any head says that is given none."""
    segmentor = network(widths).eval()
    assert segmentor.decode_head.in_index == list(range(len(widths)))[-4:]
    assert segmentor(torch.randn(1, 3, 33, 47)).shape == (1, 3, 33, 47)


def test_a_gradient_reaches_every_parameter_by_the_second_step(assert_learns):
    segmentor = network(tasks=["semantic", "panoptic"], num_points=64).double()
    x, target = batch()

    def loss() -> Tensor:
        torch.manual_seed(3)  # the same tasks and points at every step
        return torch.stack(list(segmentor.losses(x.double(), target).values())).sum()

    with torch.no_grad():
        # at first all look at the same places, and masks may be empty
        for layer in segmentor.decode_head.pixel_decoder.layers:
            nn.init.normal_(layer.attention.offsets.weight, std=0.1)
    assert_learns(segmentor, loss)


def test_the_texts_train_and_nothing_asks_for_them_then():
    """To the bit, with the weights of the text encoder gone, and the network for export has none."""
    segmentor = network().eval()
    x, target = batch()
    expected = segmentor(x)
    assert "decode.loss_contrastive" in segmentor.losses(x, target)
    nn.init.constant_(segmentor.decode_head.texts.encoder.norm.weight, torch.nan)
    assert torch.equal(segmentor(x), expected)
    merged = merge(segmentor)
    assert not any(isinstance(module, QueryTexts) for module in merged.modules())
    assert torch.equal(merged(x), expected)
    without = network(contrastive_weight=0)
    assert "decode.loss_contrastive" not in without.losses(x, target)
    assert without.decode_head.texts is None


def test_what_it_costs_can_be_counted():
    """A layer more costs what a layer costs."""
    two, three, four = (count_macs(network(decoder_layers=n).eval(), (3, 32, 48)) for n in (2, 5, 8))
    assert three - two == four - three > 0


def test_logits_are_logarithms_of_summed_scores():
    head = network().eval().decode_head
    maps = [torch.randn(1, n, 16 >> i, 24 >> i) for i, n in enumerate((4, 6, 8, 10))]
    prediction = head._last(maps, "semantic")
    scores = sum(
        classes.softmax(0)[:-1, None, None] * mask.sigmoid()
        for classes, mask in zip(prediction.classes[0], prediction.masks[0], strict=True)
    )
    torch.testing.assert_close(head(maps)[0].exp(), scores)
    torch.testing.assert_close(head.predict(maps, [{"img_shape": (16, 24)}], {}), head(maps))


def test_what_is_asked_for_is_a_word():
    """Tasks give other queries, by the token alone."""
    head = network(tasks=["semantic", "instance", "panoptic"]).eval().decode_head
    maps = [torch.randn(2, n, 16 >> i, 24 >> i) for i, n in enumerate((4, 6, 8, 10))]
    both, first = head._decoded(maps, ["semantic", "panoptic"])
    for index, task in enumerate(("semantic", "panoptic")):
        torch.testing.assert_close(both[-1].masks[index], head._last(maps, task).masks[index])
    assert not torch.allclose(first[0], head._decoded(maps, ["instance"])[1][0])
    assert len(head.segments(maps, (32, 48))) == 2
    assert head.segments(maps, (32, 48), "instance")[0].masks.shape[1:] == (32, 48)
    with pytest.raises(ValueError, match="'panoptics'; did you mean panoptic"):
        head.segments(maps, (32, 48), "panoptics")


def test_a_picture_without_labels_teaches_that_there_is_nothing():
    segmentor = network()
    x, target = batch()
    losses = segmentor.losses(x, torch.full_like(target, 255))
    assert losses["decode.loss_mask"] == losses["decode.loss_dice"] == 0
    sum(losses.values()).backward()
    assert [name for name, p in segmentor.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("ignored", [50.0, -50.0])
def test_ignored_pixels_change_no_loss(ignored: float):
    """The cross entropy of a logit of zero is ln 2 whatever is true, and stays so whatever is said where nobody knows.

    A quarter of the points lie anywhere, half of them there."""
    known, mask = torch.ones(8, 8), torch.zeros(1, 8, 8)
    known[:, 4:], mask[:, :4, :5] = 0, 1
    logits = torch.zeros(1, 2, 8, 8)
    logits[..., 5:] = ignored
    found = SetLoss(2, points=200)(Prediction(torch.zeros(1, 2, 3), logits), [Target(torch.tensor([1]), mask, known)])
    assert float(found["loss_mask"]) == pytest.approx(5 * math.log(2))


def test_points_are_where_it_is_unsure():
    logits = torch.full((2, 1, 10, 10), 9.0)
    logits[..., 5:] = 0.1
    places = unsure_places(logits, 400)
    assert ((places >= 0) & (places <= 1)).all()
    assert (places[:, :300, 0] > 0.45).all()
    assert (places[:, 300:, 0] < 0.45).any()


def test_class_weights_are_those_of_queries_and_there_are_no_hard_pixels():
    segmentor = network()
    weigh_classes(segmentor, [1.0, 2.0, 0.5])
    torch.testing.assert_close(segmentor.decode_head.set_loss.factors, torch.tensor([1, 2, 0.5, 0.1]))
    with pytest.raises(ValueError, match="ohem: OneFormerHead classifies no pixels"):
        mine_hard_pixels(segmentor, HardPixels())


def test_class_weights_that_are_counted_later_reach_the_queries():
    segmentor = network()
    (weigh,) = weigh_classes(segmentor, "balanced")
    torch.testing.assert_close(segmentor.decode_head.set_loss.factors, torch.tensor([1, 1, 1, 0.1]))
    weigh([1.0, 2.0, 0.5])
    torch.testing.assert_close(segmentor.decode_head.set_loss.factors, torch.tensor([1, 2, 0.5, 0.1]))


def test_texts_have_the_names_that_a_task_knows():
    segmentor = network()
    before = segmentor.decode_head.texts.phrases
    segmentor.name_classes(["sky", "dog", "cat"])
    assert not torch.equal(segmentor.decode_head.texts.phrases, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 18}, "channels=18 must be a multiple of 4 and of num_heads=2"),
        ({"norm_cfg": {"type": "GN"}}, "leave norm_cfg out"),
        ({"tasks": ["semantics"]}, "there is no 'semantics'; did you mean semantic"),
        ({"tasks": []}, "must be a list"),
        ({"things": [3]}, "3 is no class, which are 0 to 2"),
        ({"contexts": 6}, "contexts=6 must be less than the 6 queries"),
        ({"loss_decode": {"type": "DiceLoss"}}, "no option 'loss_decode'"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str, one_line):
    with pytest.raises(ValueError, match="OneFormerHead") as error:
        network(**options)
    one_line(error, message)
