"""Parts of a network learn by themselves, and are together the network that they would be otherwise."""

from __future__ import annotations

import copy
import csv
import importlib.util
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import Backbone, PreResNet, Stage, TimmBackbone
from blockyard.objectives import LocalReconstruction
from blockyard.objectives.intermediate_supervision import unfolded
from blockyard.objectives.local_reconstruction import InputDecoder
from blockyard.tasks import ActionRecognition, ImageClassification, PersonReID, SignalClassification

SMALL = partial(PreResNet, depth=8, dropout=0.0)
ROOT = Path(__file__).parents[2]


def task(objective, shape=(1, 8, 8), backbone=SMALL, kind=ImageClassification, **options):
    seed_everything(1)
    return kind(backbone, num_classes=3, input_shape=shape, objective=objective, **{"optimizer": SGD, **options})


def batch(*shape: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(4, *shape), "target": torch.tensor([0, 2, 1, 2])}


def stepped(module) -> torch.Tensor:
    """The loss of a step by hand that moves nothing; the gradients stay."""
    module.optimizers = lambda: SimpleNamespace(zero_grad=module.zero_grad, step=lambda: None)
    module.manual_backward = lambda loss: loss.backward()
    loss, _ = module.objective.step(module, batch(1, 8, 8), 0)
    return loss


def test_one_part_is_the_network_end_to_end(trained):
    """Bit for bit, dropout and the order of the data included."""
    backbone = partial(PreResNet, depth=8, dropout=0.1)
    plain, one, two = (trained(backbone, each) for each in (None, LocalReconstruction(1), LocalReconstruction(2)))
    assert all(torch.equal(plain[name], one[name]) for name in plain)
    assert not all(torch.equal(plain[name], two[name]) for name in plain)


class TestLoss:
    def test_is_the_sum_that_it_says(self):
        module, given = task(LocalReconstruction(3, 0.5), label_smoothing=0.1), batch(1, 8, 8)
        own = module.objective
        assert own.paths == ["layer1.0", "layer2.0"]
        loss, logged = own.loss(module, given)
        first, second, _ = module.network.features(given["input"])
        said = partial(F.cross_entropy, target=given["target"], label_smoothing=0.1)
        expected = said(module.network(given["input"]))
        for number, (found, before) in enumerate(((first, given["input"]), (second, first))):
            pooled = F.layer_norm(found.mean((2, 3)), found.shape[1:2], eps=1e-6)
            told = said(own.classifiers[number].fc(pooled))
            error = (own.decoders[number](found) - before).square().mean()
            torch.testing.assert_close(logged[f"part{number + 1}_loss"], told)
            torch.testing.assert_close(logged[f"part{number + 1}_input_loss"], error)
            expected = expected + told + 0.5 * error
        torch.testing.assert_close(loss, expected)

    def test_no_gradient_crosses_a_border(self):
        """What a part's own terms reach is the part; the sum's gradients are those of the parts."""
        module, given = task(LocalReconstruction(3)), batch(1, 8, 8)
        reached = []
        for number in range(3):
            alone = copy.deepcopy(module)
            losses = []
            alone.objective.pieces(alone, given, lambda loss, losses=losses: losses.append(loss) or loss.detach())
            losses[number].backward()
            reached.append({n.split(".")[0] for n, p in alone.network.named_parameters() if p.grad is not None})
        assert reached == [{"conv1", "layer1"}, {"layer2"}, {"layer3", "bn1", "conv2", "bn2", "fc"}]

    def test_a_step_takes_the_gradients_of_the_sum(self):
        module = task(LocalReconstruction(3)).double()
        module.objective.double()
        whole = copy.deepcopy(module)
        data = {"input": batch(1, 8, 8)["input"].double(), "target": batch(1, 8, 8)["target"]}
        loss, _ = whole.objective.loss(whole, data)
        loss.backward()
        module.optimizers = lambda: SimpleNamespace(zero_grad=module.zero_grad, step=lambda: None)
        module.manual_backward = lambda one: one.backward()
        found, _ = module.objective.step(module, data, 0)
        torch.testing.assert_close(found, loss.detach())
        for (name, one), other in zip(module.named_parameters(), whole.parameters(), strict=True):
            assert one.grad is not None, name
            torch.testing.assert_close(one.grad, other.grad)

    def test_a_loss_that_is_not_finite_is_no_step(self):
        module = task(LocalReconstruction(2))
        module.network.fc.bias.data[0] = torch.nan
        module._trainer = SimpleNamespace(current_epoch=0, global_step=0, fit_loop=None)
        with pytest.raises(FloatingPointError, match="before the optimiser step"):
            stepped(module)

    @pytest.mark.parametrize(
        ("kind", "rank", "shape"), [(SignalClassification, 1, (2, 13)), (ActionRecognition, 3, (3, 3, 8, 6))]
    )
    def test_maps_of_every_rank(self, kind, rank, shape):
        """Also those that are no multiple of the next one's."""
        module = task(LocalReconstruction(3), shape, partial(SMALL, spatial_dims=rank), kind)
        loss, _ = module.objective.loss(module, batch(*shape))
        loss.backward()
        assert [name for name, p in module.named_parameters() if p.grad is None] == []

    def test_channels_may_lie_last(self):
        swin = partial(TimmBackbone, name="swin_tiny_patch4_window7_224")
        with torch.device("meta"):
            module = task(LocalReconstruction(4), (3, 224, 224), swin)
        assert module.objective.paths == ["layers.1.blocks.0", "layers.2.blocks.1", "layers.2.blocks.4"]
        # a position of 8 pixels along both axes for the first, of 2 and of 1 positions of 192 and 384 channels
        assert [each.patches.out_channels for each in module.objective.decoders] == [3 * 8**2, 192 * 2**2, 384]


def test_a_decoder_gives_a_patch_of_the_input_for_each_position():
    decoder = InputDecoder(torch.Size((1, 4, 3, 2)), torch.Size((1, 2, 8, 2)))
    assert decoder.sides == [3, 1]
    assert decoder(torch.randn(5, 4, 3, 2)).shape == (5, 2, 8, 2)
    x = torch.randn(1, 6, 3, 2)
    for row in range(9):
        torch.testing.assert_close(unfolded(x, (3, 1))[0, 1, row], x[0, 3 + row % 3, row // 3])


class TestMemory:
    @pytest.fixture(scope="class")
    def benchmark(self):
        spec = importlib.util.spec_from_file_location("local_learning", ROOT / "benchmarks" / "local_learning.py")
        found = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(ROOT / "benchmarks"))
            spec.loader.exec_module(found)
        return found

    def test_what_is_kept_at_once_falls_with_the_number_of_parts(self, benchmark):
        make = partial(PreResNet, depth=20, dropout=0.0)
        kept = [benchmark.of_a_step(make, parts, 2, (1, 16, 16)) for parts in (1, 2, 3, 9)]
        assert kept == sorted(kept, reverse=True)
        assert kept[-1] < 0.5 * kept[0]

    def test_is_counted_while_it_is_kept(self, benchmark):
        """Of two products one after the other, and of both at once: x and what each exponential gave."""
        x = torch.randn(100, requires_grad=True)

        def one_by_one():
            for _ in range(2):
                x.exp().sum().backward()

        assert benchmark.peak_saved_bytes(one_by_one) == 400
        assert benchmark.peak_saved_bytes(lambda: (x.exp().sum() + x.exp().sum()).backward()) == 800

    def test_the_table_of_the_docs_comes_from_the_committed_figures(self, benchmark):
        with benchmark.RESULTS.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert benchmark.table(rows) in (ROOT / "docs" / "objectives.md").read_text()


class Skipping(Backbone):
    """What the first unit gives also goes around the second."""

    stages = (Stage("first", 2, 1), Stage("second", 2, 1))

    def __init__(self, num_classes, in_channels):
        super().__init__(num_classes, in_channels)
        self.stem = nn.Conv2d(in_channels, 2, 1)
        self.first, self.second = (nn.Sequential(nn.Conv2d(2, 2, 1)) for _ in range(2))
        self.make_head(2)

    def features(self, x):
        x = self.stem(x)
        first = self.first(x)
        return [first, self.second(first) + x]


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"parts": 0}, "at least 1 part and no negative weight; got 0"),
            ({"weight": -1.0}, "no negative weight; got 2 and -1.0"),
            ({"parts": 4}, "3 units are no 4 parts"),
            ({"parts": ["stage7"]}, "at='stage7' matches nothing in PreResNet"),
            ({"parts": "fc"}, "sees no map (B, C, *S) at fc"),
            ({"parts": ["layer1.0.relu1", "layer3.0.shortcut.1"]}, "is reached from part"),
        ],
    )
    def test_what_makes_no_parts(self, options, said, one_line):
        with pytest.raises(ValueError) as refusal:  # noqa: PT011 - one_line looks at what it says
            task(LocalReconstruction(**options))
        one_line(refusal, said)

    def test_a_gradient_that_goes_around_a_border(self, one_line):
        with pytest.raises(ValueError, match=r"stem.weight is reached from part 1 and from part 2") as refusal:
            task(LocalReconstruction("first"), backbone=Skipping)
        one_line(refusal, "say other places")

    def test_a_compiled_network(self, one_line):
        module = task(LocalReconstruction(2), compile="eager")
        with pytest.raises(ValueError, match="leave compile at null") as refusal:
            module.objective.loss(module, batch(1, 8, 8))
        one_line(refusal)

    def test_a_task_without_labels(self, one_line):
        with pytest.raises(ValueError, match="a classification's labels, which PersonReID has not") as refusal:
            task(LocalReconstruction(2), (3, 16, 8), kind=PersonReID)
        one_line(refusal)


def test_the_network_has_no_trace_of_it():
    plain, module = task(None), task(LocalReconstruction(2))
    module.objective.loss(module, batch(1, 8, 8))
    weights = plain.network.state_dict()
    assert module.network.state_dict().keys() == weights.keys()
    assert all(torch.equal(weights[name], p) for name, p in task(LocalReconstruction(2)).network.state_dict().items())
    assert not any(part._forward_hooks for part in module.network.modules())
