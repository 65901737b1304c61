"""Classifiers within the network add their losses to the task's own, and are nowhere else."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import Framewise, FrontEnded, NASNet, PreResNet
from blockyard.backbones.inputs.log_mel import LogMel
from blockyard.composing.matching import refuse_other_data
from blockyard.datamodules import Digits
from blockyard.objectives import AuxiliaryClassifiers, Rotation
from blockyard.objectives.supervision import WindowClassifier
from blockyard.plugging import plug
from blockyard.tasks import (
    ActionRecognition,
    AudioTagging,
    ImageClassification,
    Mixing,
    PersonReID,
)
from blockyard.tasks.restoration import ImageRestoration
from blockyard.training import BiasLoss

SMALL = partial(PreResNet, depth=8, dropout=0.0)
PLAIN = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


def task(backbone=SMALL, shape=(1, 8, 8), **options) -> ImageClassification:
    seed_everything(1)
    options = {"optimizer": partial(SGD, lr=0.1, momentum=0.9), **options}
    return ImageClassification(backbone, num_classes=3, input_shape=shape, **options)


def batch(*shape: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(4, *shape), "target": torch.tensor([0, 2, 1, 2])}


class TestLoss:
    def test_is_the_sum_that_it_says(self):
        """Of two places, by the definition of the head of each."""
        both = AuxiliaryClassifiers(["stage2", "layer1.0"], [0.5, 0.25])
        module, given = task(objective=both, label_smoothing=0.1), batch(1, 8, 8)
        seen = {}
        for path in both.paths:
            module.network.get_submodule(path).register_forward_hook(lambda _, __, y, path=path: seen.update({path: y}))
        loss, logged = both.loss(module, given)
        said = partial(F.cross_entropy, target=given["target"], label_smoothing=0.1)
        expected = said(module.network(given["input"]))
        assert both.paths == ["layer2", "layer1.0"]
        for number, (path, head, weight) in enumerate(zip(both.paths, both.heads, (0.5, 0.25), strict=True), 1):
            narrow, norm1, _, whole, norm2, _ = head.layers
            y = F.avg_pool2d(seen[path].relu(), min(5, seen[path].shape[2]), 3)
            y = norm1(torch.einsum("oi,bihw->bohw", narrow.weight[:, :, 0, 0], y)).relu()
            y = norm2((y.flatten(1) @ whole.weight.flatten(1).T)[:, :, None, None]).relu()[:, :, 0, 0]
            one = said(head.fc(y))
            torch.testing.assert_close(logged[f"auxiliary{number}_loss"], one)
            expected = expected + weight * one
        torch.testing.assert_close(loss, expected)

    def test_the_plainest_head_sees_the_normed_mean(self):
        module, given = task(objective=AuxiliaryClassifiers(head="mean")), batch(1, 8, 8)
        _, logged = module.objective.loss(module, given)
        middle = module.network.features(given["input"])[-2].mean((2, 3))
        head = module.objective.heads[0]
        expected = F.cross_entropy(head.fc(F.layer_norm(middle, middle.shape[1:], eps=1e-6)), given["target"])
        torch.testing.assert_close(logged["auxiliary1_loss"], expected)

    def test_its_gradient_reaches_all_before_the_place_and_nothing_behind(self):
        module = task(objective=AuxiliaryClassifiers("stage2"))
        _, logged = module.objective.loss(module, batch(1, 8, 8))
        logged["auxiliary1_loss"].backward()
        reached = {name.split(".")[0] for name, p in module.network.named_parameters() if p.grad is not None}
        assert reached == {"conv1", "layer1", "layer2"}
        assert all(p.grad is not None for p in module.objective.parameters())

    def test_samples_are_mixed_once_for_all(self):
        module = task(objective=AuxiliaryClassifiers(head="mean"), mixing=Mixing(mixup_alpha=1.0))
        module.loss = nn.CrossEntropyLoss()
        seen = []
        module.loss.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
        module.objective.loss(module, batch(1, 8, 8))
        assert seen[0] is seen[1]
        assert seen[0].shape == (4, 3)

    def test_a_loss_that_looks_at_features_gets_the_map_of_each(self):
        module, given = task(objective=AuxiliaryClassifiers(head="mean"), loss=BiasLoss), batch(1, 8, 8)
        _, logged = module.objective.loss(module, given)
        middle = module.network.features(given["input"])[-2]
        expected = BiasLoss()(module.objective.heads[0](middle), given["target"], middle)
        torch.testing.assert_close(logged["auxiliary1_loss"], expected)

    def test_what_is_plugged_in_at_a_place_comes_before_the_head(self):
        class Zero(nn.Module):
            def __init__(self, channels, spatial_dims):
                super().__init__()

            def forward(self, x):
                return x * 0

        module = task(objective=AuxiliaryClassifiers("stage2", head="mean"))
        plug(module.network, Zero, "stage2", example=(1, 1, 8, 8), quiet=True)
        _, logged = module.objective.loss(module, batch(1, 8, 8))
        bias = module.objective.heads[0].fc.bias
        expected = F.cross_entropy(bias.expand(4, -1), batch(1, 8, 8)["target"])
        torch.testing.assert_close(logged["auxiliary1_loss"], expected)

    def test_compiled_it_is_the_same(self):
        torch._dynamo.reset()
        losses = []
        for compiled in (None, "eager"):
            module = task(objective=AuxiliaryClassifiers(head="mean"), compile=compiled)
            module.setup("fit")
            module.eval()(batch(1, 8, 8)["input"])  # a validation before, which no head sees
            losses.append(module.train().objective.loss(module, batch(1, 8, 8)))
        torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("size", [(10,), (21, 6), (3, 12, 5)])
def test_the_head_is_made_for_maps_of_every_rank(size: tuple[int, ...]):
    """Windows of 5 at every third position that lie in the map; where it is smaller, all of it is one."""
    x = torch.randn(2, 4, *size)
    head = WindowClassifier(4, 3, size, (2, 6)).eval()
    left = tuple(max(n - 5, 0) // 3 + 1 for n in size)
    assert head.layers[3].kernel_size == left
    assert head(x).shape == (2, 3)
    changed = x.clone()
    changed[(..., *(slice(5 + 3 * (n - 1), None) for n in left))] += 1  # what no window reaches
    assert torch.equal(head(changed), head(x))


def test_that_of_nasnet_a_large_is_the_one_of_the_published_code():
    """At 331 pixels: 2016 channels of 21×21 positions, 6×6 windows of which are left; counted by hand."""
    with torch.device("meta"):
        head = WindowClassifier(2016, 1001, (21, 21))
    counted = 2016 * 128 + 2 * 128 + 128 * 768 * 6 * 6 + 2 * 768 + 768 * 1001 + 1001
    assert sum(p.numel() for p in head.parameters()) == counted


def test_it_stands_behind_the_last_stage_but_one():
    nasnet = partial(NASNet, depth=1, filters=4, stem="cifar", stem_channels=4, skips=False)
    assert task(nasnet, (2, 8, 8), objective=AuxiliaryClassifiers()).objective.paths == ["layer2"]


class TestNowhereElse:
    def test_weights_of_zero_train_the_network_that_there_is_without(self, trained):
        """Bit for bit, dropout and the order of the data included."""
        backbone = partial(PreResNet, depth=8, dropout=0.1)
        zero_weights, weights = AuxiliaryClassifiers(["stage1", "stage2"], 0.0), AuxiliaryClassifiers(weight=0.4)
        plain, zero, some = (trained(backbone, objective) for objective in (None, zero_weights, weights))
        assert all(torch.equal(plain[name], zero[name]) for name in plain)
        assert not all(torch.equal(plain[name], some[name]) for name in plain)

    def test_the_network_has_no_trace_of_them(self):
        plain, module = task(), task(objective=AuxiliaryClassifiers())
        module.objective.loss(module, batch(1, 8, 8))
        assert module.network.state_dict().keys() == plain.network.state_dict().keys()
        assert not any(part._forward_hooks for part in module.network.modules())
        x = batch(1, 8, 8)["input"]
        module.network.load_state_dict(plain.network.state_dict())
        assert torch.equal(module.eval()(x), plain.eval()(x))
        assert torch.equal(module.evaluate(x), plain.evaluate(x))


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"weight": -1.0}, "weight=-1.0 must not be negative"),
            ({"head": "max"}, "head must be windows or mean, got 'max'"),
            ({"at": ["stage1", "stage2"], "weight": [1.0]}, "weight has 1 numbers for 2 places"),
            ({"at": "stage7"}, "at='stage7' matches nothing in PreResNet"),
            ({"at": "fc"}, "sees no map (1, C, *S) of a sample at fc"),
        ],
    )
    def test_what_makes_no_head(self, options, said, one_line):
        with pytest.raises(ValueError) as refusal:  # noqa: PT011 - one_line looks at what it says
            task(objective=AuxiliaryClassifiers(**options))
        one_line(refusal, said)

    def test_maps_of_frames(self, one_line):
        with pytest.raises(ValueError, match="sees no map") as refusal:
            ActionRecognition(
                partial(Framewise, name="test_resnet"),
                num_classes=3,
                input_shape=(3, 4, 32, 32),
                optimizer=SGD,
                objective=AuxiliaryClassifiers("stage1"),
            )
        one_line(refusal)

    @pytest.mark.parametrize("kind", [PersonReID, ImageRestoration])
    def test_tasks_that_learn_something_else(self, kind, one_line):
        options = {"num_classes": 3} if kind is PersonReID else {}
        with pytest.raises(ValueError, match=f"a classification's labels, which {kind.__name__} has not") as refusal:
            kind(backbone=SMALL, **options, input_shape=(3, 32, 32), optimizer=SGD, objective=AuxiliaryClassifiers())
        one_line(refusal)

    def test_data_of_another_kind_though_not_beside_a_pretext(self):
        data = Digits("8x8")
        with pytest.raises(ValueError, match="AudioTagging learns from"):
            refuse_other_data(AudioTagging, data, labels=AuxiliaryClassifiers.adds)
        assert not Rotation.adds


def test_tags_are_learned_by_the_loss_of_tags():
    """Behind a front end, whose network has the stages."""
    seed_everything(1)
    module = AudioTagging(
        partial(PreResNet, depth=8),
        num_classes=3,
        input_shape=(1, 4000),
        front_end=LogMel(sample_rate=8000, n_fft=256, n_mels=16),
        optimizer=SGD,
        objective=AuxiliaryClassifiers(head="mean"),
    )
    assert isinstance(module.network, FrontEnded)
    tags = torch.tensor([[1, 0, 1], [0, 0, 0]])
    _, logged = module.objective.loss(module, {"input": torch.randn(2, 1, 4000), "target": tags})
    assert logged["auxiliary1_loss"].isfinite()
