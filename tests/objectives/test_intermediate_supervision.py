"""The further losses of RevCol are those of the published code, of as many parameters."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet, RevCol
from blockyard.blocks import DepthwiseConvolution
from blockyard.datamodules.images import IMAGENET_MEAN, IMAGENET_STD
from blockyard.objectives import IntermediateSupervision
from blockyard.objectives.intermediate_supervision import Decoder, cropped, unfolded
from blockyard.tasks import ImageClassification, SignalClassification

THREE_TAPS = partial(DepthwiseConvolution, kernel_size=3)
TINY = partial(RevCol, columns=4, depths=(1, 1), widths=(4, 6), mixers=THREE_TAPS)
PLAIN = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
PUBLISHED = (
    (r"classifiers\.(\d)\.norm", r"cls_blocks.\1.classifier.0"),
    (r"classifiers\.(\d)\.fc", r"cls_blocks.\1.classifier.1"),
    (r"decoders\.", "decoder_blocks."),
    (r"\.narrow\.", ".proj_layers."),
    (r"\.units\.", ".normal_layers."),
    (r"\.mixer\.conv", ".dwconv"),
    (r"\.mlp\.fc", ".pwconv"),
    (r"layer_scale\.scale", "gamma"),
    (r"\.patches", ".projback.0"),
)
"""Names of our tensors, and those of models/revcol.py of megvii-research/RevCol."""


def task(backbone=TINY, shape=(1, 16, 16), data=None, **options) -> ImageClassification:
    seed_everything(1)
    options = {"optimizer": partial(SGD, lr=0.1), "num_classes": 3, **options}
    module = ImageClassification(backbone, input_shape=shape, **options)
    module._trainer = SimpleNamespace(datamodule=data or SimpleNamespace(mean=(0.5,), std=(0.25,)))
    return module


def batch(*shape: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(4, *shape), "target": torch.tensor([0, 2, 1, 2])}


def test_parameters_are_the_published_ones():
    """Of RevCol-T with all that its training has, for 1000 classes."""
    with torch.device("meta"):
        tiny = partial(RevCol, mixers=THREE_TAPS)
        module = task(tiny, (3, 224, 224), num_classes=1000, objective=IntermediateSupervision())
    assert sum(p.numel() for p in module.network.parameters()) == 30_456_168
    assert sum(p.numel() for p in module.parameters()) == 33_063_984


def test_the_losses_are_those_of_the_published_code(drawn_by_name, tmp_path: Path):
    """``compound_loss`` of loss.py of megvii-research/RevCol at 1680848, in float64; drawn on 29 November 2026."""
    golden = json.loads((Path(__file__).parents[1] / "backbones/skeletons/revcol.json").read_text())
    file = {name: drawn_by_name(name, shape) for name, shape in golden["shapes"].items()}
    torch.save(file, tmp_path / "revcol.pth")
    published = {"mixers": THREE_TAPS, "weights": tmp_path / "revcol.pth"}
    small = partial(RevCol, depths=(1, 2, 1, 1), widths=(8, 16, 24, 32), **published)
    data = SimpleNamespace(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    module = task(small, (3, 64, 64), data, num_classes=5, objective=IntermediateSupervision()).double()
    for name, tensor in module.objective.named_parameters():
        for own, other in PUBLISHED:
            name = re.sub(own, other, name)
        tensor.data.copy_(drawn_by_name(name, list(tensor.shape)))
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 64)))
    loss, logged = module.objective.loss(module, {"input": x, "target": torch.tensor([1, 3])})
    assert loss.item() == pytest.approx(9.592995800721814, rel=1e-12)
    parts = [
        3 * (1 - i / 3) * logged[f"column{i + 1}_picture_loss"] + 0.7 * (i + 1) / 4 * logged[f"column{i + 1}_loss"]
        for i in range(3)
    ]
    expected = [3.128961643355511, 1.929528120464918, 2.3983903698367834]
    assert [part.item() for part in parts] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_patches_lie_beside_each_other(rank: int):
    x = torch.arange(2 * 3 * 2**rank * 5**rank).view(2, 3 * 2**rank, *(5,) * rank)
    y = unfolded(x, 2)
    assert y.shape == (2, 3, *(10,) * rank)
    if rank == 2:
        assert torch.equal(y, F.pixel_shuffle(x, 2))
    # the first patch of a channel is its channels at the first position
    first = y[(0, 1, *(slice(2),) * rank)]
    assert first.flatten().tolist() == x[(0, slice(2**rank, 2 * 2**rank), *(0,) * rank)].tolist()


@pytest.mark.parametrize(("size", "seen"), [((18,), (16,)), ((13, 28), (12, 28)), ((8, 9, 12), (8, 8, 12))])
def test_a_decoder_gives_the_pixels_that_the_stem_sees_whole(size, seen):
    network = TINY(0, 2, spatial_dims=len(size))
    x = torch.randn(2, 2, *size)
    found = Decoder([4, 6], 2, len(size))(network.after(x, [2])[0])
    assert found.shape == (2, 2, *seen) == cropped(x, seen).shape
    beyond = x.clone()
    for axis, n in enumerate(seen, 2):
        beyond.narrow(axis, n, x.shape[axis] - n).add_(1)
    assert torch.equal(network.stem(beyond), network.stem(x))


@pytest.mark.parametrize("keep", ["columns", "last", "all"])
def test_gradients_do_not_depend_on_what_is_kept(keep: str):
    gradients = []
    for kept in ("all", keep):
        module = task(partial(TINY, keep=kept), objective=IntermediateSupervision()).double().train()
        given = batch(1, 16, 16)
        loss, _ = module.objective.loss(module, given | {"input": given["input"].double()})
        loss.backward()
        gradients.append([p.grad for p in module.parameters()])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_a_head_s_gradient_reaches_the_columns_before_it_alone():
    module = task(objective=IntermediateSupervision()).train()
    _, logged = module.objective.loss(module, batch(1, 16, 16))
    logged["column2_picture_loss"].backward()
    reached = {name for name, p in module.network.named_parameters() if p.grad is not None and p.grad.any()}
    assert {".".join(name.split(".")[:2]) for name in reached if "columns" in name} == {"columns.0", "columns.1"}
    assert all(p.grad is not None for p in module.objective.decoders[1].parameters())


class TestNowhereElse:
    def test_weights_of_zero_train_the_network_that_there_is_without(self, trained):
        """Bit for bit, in recomputed columns, dropped paths included."""
        backbone = partial(TINY, drop_path_rate=0.2)
        plain, zero, some = (
            trained(backbone, objective)
            for objective in (None, IntermediateSupervision(4, 0.0, 0.0), IntermediateSupervision(2))
        )
        assert all(torch.equal(plain[name], zero[name]) for name in plain)
        assert not all(torch.equal(plain[name], some[name]) for name in plain)

    def test_the_network_answers_as_without(self):
        plain, module = task(), task(objective=IntermediateSupervision())
        assert module.network.state_dict().keys() == plain.network.state_dict().keys()
        x = batch(1, 16, 16)["input"]
        assert torch.equal(module.eval()(x), plain.eval()(x))


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"points": 1}, "has at least 2 points"),
            ({"class_weight": -1.0}, "no negative weight"),
            ({"points": 3}, "points=3 does not divide the 4 columns"),
        ],
    )
    def test_what_makes_no_head(self, options, said, one_line):
        with pytest.raises(ValueError, match=said) as refusal:
            task(objective=IntermediateSupervision(**options))
        one_line(refusal)

    def test_another_network(self, one_line):
        with pytest.raises(ValueError, match="for the columns of RevCol; the network is PreResNet") as refusal:
            task(partial(PreResNet, depth=8), objective=IntermediateSupervision())
        one_line(refusal)

    def test_a_compiled_one(self, one_line):
        module = task(objective=IntermediateSupervision(), compile="eager")
        with pytest.raises(ValueError, match="leave compile at null") as refusal:
            module.objective.loss(module, batch(1, 16, 16))
        one_line(refusal)

    def test_pictures_of_what_is_none(self, one_line):
        """Which can have the classifiers."""
        given = {"backbone": partial(TINY, spatial_dims=1), "num_classes": 3, "input_shape": (2, 64), "optimizer": SGD}
        module = SignalClassification(**given, objective=IntermediateSupervision())
        module._trainer = SimpleNamespace(datamodule=SimpleNamespace())
        with pytest.raises(ValueError, match="no pixels to decode: set picture_weight to 0") as refusal:
            module.objective.loss(module, batch(2, 64))
        one_line(refusal)
        module = SignalClassification(**given, objective=IntermediateSupervision(picture_weight=0.0))
        _, logged = module.objective.loss(module, batch(2, 64))
        assert list(logged) == ["column1_loss", "column2_loss", "column3_loss"]
