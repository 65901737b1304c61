"""Four turns of each picture, told apart without a label."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import Backbone, PreResNet, Stage, TimmBackbone, TimmFeatures
from blockyard.objectives import Rotation
from blockyard.objectives.rotation import turns
from blockyard.objectives.versions import version_of
from blockyard.tasks import (
    ActionRecognition,
    AudioClassification,
    ImageClassification,
    PersonReID,
    SemanticSegmentation,
)

SGD_ = {"optimizer": partial(SGD, lr=0.1)}
SMALL = {"backbone": partial(PreResNet, depth=8, dropout=0.0), "num_classes": 10, **SGD_}


def task(shape=(1, 8, 8), **options) -> ImageClassification:
    return ImageClassification(**{**SMALL, "input_shape": shape, "objective": Rotation(), **options})


class TestTurns:
    def test_a_quarter_turn_is_anticlockwise(self):
        assert turns(torch.tensor([[[[1, 2], [3, 4]]]]))[:, 0].tolist() == [
            [[1, 2], [3, 4]],
            [[2, 4], [1, 3]],
            [[4, 3], [2, 1]],
            [[3, 1], [4, 2]],
        ]

    def test_a_batch_of_four_is_grouped_by_turn(self):
        x = torch.randn(4, 3, 5, 5)
        found, label = turns(x), version_of(x, 4)
        assert label.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
        for row, turn in enumerate(label.tolist()):
            assert np.array_equal(found[row].numpy(), np.rot90(x[row % 4].numpy(), turn, (1, 2)))

    def test_four_quarter_turns_are_none(self):
        x = torch.randn(2, 1, 6, 6)
        once = turns(x)[2:4]
        for _ in range(3):
            once = turns(once)[2:4]
        assert torch.equal(once, x)

    def test_all_frames_of_a_clip_turn_alike(self):
        clip = torch.randn(2, 3, 4, 5, 5)
        for frame in range(4):
            assert torch.equal(turns(clip)[:, :, frame], turns(clip[:, :, frame]))

    @pytest.mark.parametrize(("shape", "middle"), [((7, 4), np.s_[1:5, :]), ((4, 6), np.s_[:, 1:5])])
    def test_the_middle_square_is_turned(self, shape, middle):
        x = torch.randn(1, 2, *shape)
        assert torch.equal(turns(x), turns(x[(..., *middle)]))


class TestLoss:
    def test_equals_the_definition_and_reads_no_label(self):
        module, x = task().eval(), torch.randn(3, 1, 8, 8)
        loss, logged = module.objective.loss(module, {"input": x})
        logits = []
        for turn in range(4):
            last, _ = module.network.map_and_logits(torch.rot90(x, turn, (2, 3)))
            logits.append(last.mean((2, 3)) @ module.objective.classifier.weight.T + module.objective.classifier.bias)
        expected = sum(-F.log_softmax(found, 1)[:, turn].mean() for turn, found in enumerate(logits)) / 4
        torch.testing.assert_close(loss, expected)
        right = [(found.argmax(1) == turn).float().mean() for turn, found in enumerate(logits)]
        torch.testing.assert_close(logged["rotation_accuracy"], torch.stack(right).mean())

    def test_a_network_that_sees_no_turn_tells_a_quarter(self):
        class Points(Backbone):
            stages = (Stage("conv", 8, 1),)

            def __init__(self, num_classes, in_channels):
                super().__init__(num_classes, in_channels)
                self.conv, self.fc = nn.Conv2d(in_channels, 8, 1), nn.Linear(8, num_classes)
                self.double()  # the order of a mean's sum turns too, and a tie must stay one

            def forward(self, x):
                return self.map_and_logits(x)[1]

            def features(self, x):
                return [self.conv(x.double()).relu()]

            def map_and_logits(self, x):
                (last,) = self.features(x)
                return last, self.fc(last.mean((2, 3)))

        module, x = task(backbone=Points), torch.randn(64, 1, 8, 8)
        loss, logged = module.objective.loss(module, {"input": x})
        assert logged["rotation_accuracy"] == pytest.approx(0.25)
        assert loss >= np.log(4)

    def test_overfits_eight_pictures(self):
        module, x = task().train(), torch.randn(8, 1, 8, 8)
        optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
        for _ in range(30):
            optimizer.zero_grad()
            loss, logged = module.objective.loss(module, {"input": x})
            loss.backward()
            optimizer.step()
        assert logged["rotation_accuracy"] == 1


class TestParameters:
    @pytest.mark.parametrize(
        ("backbone", "size", "left"),
        [(SMALL["backbone"], 8, ["fc"] * 2), (partial(TimmBackbone, name="test_vit"), 160, ["head"] * 2)],
        ids=["map", "tokens"],
    )
    def test_what_learns_has_a_gradient_and_the_rest_is_said(self, backbone, size, left, capsys):
        module = task((1, size, size), backbone=backbone).train()
        module.log = module.log_dict = lambda *_, **__: None
        still = {name: one for name, one in module.network.named_parameters() if not one.requires_grad}
        assert [name.split(".")[-2] for name in still] == left
        module.training_step({"input": torch.randn(2, 1, size, size)}, 0).backward()
        assert [name for name, one in module.named_parameters() if one.requires_grad and one.grad is None] == []
        count, total = sum(map(torch.numel, still.values())), sum(map(torch.numel, module.network.parameters()))
        assert f"Rotation does not reach {count:,} of {total:,} parameters" in capsys.readouterr().out

    def test_the_optimiser_and_the_checkpoint_have_the_classifier_and_the_network_has_not(self):
        module = task()
        held = {id(one) for one in module.parameter_groups.of(module.named_parameters())}
        assert {id(one) for one in module.objective.parameters()} <= held
        assert "objective.classifier.weight" in module.state_dict()
        assert not [name for name in module.network.state_dict() if "objective" in name]

    def test_a_network_that_is_frozen_leaves_the_classifier_to_train(self):
        module = task(freeze=["conv1", "layer*", "bn1", "conv2", "bn2"])
        assert not [name for name, one in module.network.named_parameters() if one.requires_grad]
        loss, _ = module.objective.loss(module, {"input": torch.randn(2, 1, 8, 8)})
        loss.backward()
        assert module.objective.classifier.weight.grad is not None

    def test_a_compiled_network_is_run_compiled(self):
        module, x = task(compile="eager").eval(), torch.randn(2, 1, 8, 8)
        expected, _ = module.objective.loss(module, {"input": x})
        module.setup("fit")
        torch._dynamo.reset()
        before = torch._dynamo.utils.counters["frames"]["ok"]
        found, _ = module.objective.loss(module, {"input": x})
        assert torch._dynamo.utils.counters["frames"]["ok"] > before
        torch.testing.assert_close(found, expected)

    def test_the_network_begins_as_without_it(self):
        torch.manual_seed(3)
        with_it = task().network.state_dict()
        torch.manual_seed(3)
        without = task(objective=None).network.state_dict()
        assert all(torch.equal(with_it[name], without[name]) for name in without)


WITH_HEADS = {
    "backbone": partial(TimmFeatures, name="resnet10t"),
    "decode_head": {"type": "FCNHead", "channels": 8},
    "num_classes": 3,
}
VIDEO = {**SMALL, "backbone": partial(PreResNet, depth=8, spatial_dims=3)}
TASKS = {
    "clips": (partial(ActionRecognition, **VIDEO), (3, 2, 8, 8)),
    "people": (partial(PersonReID, **SMALL), (3, 16, 8)),
    "scenes": (partial(SemanticSegmentation, **WITH_HEADS, **SGD_), (3, 64, 64)),
}


@pytest.mark.parametrize("name", TASKS)
def test_other_tasks_train_by_it(name):
    make, shape = TASKS[name]
    module = make(input_shape=shape, objective=Rotation()).train()
    module.log = module.log_dict = lambda *_, **__: None
    module.training_step({"input": torch.randn(2, *shape)}, 0).backward()
    assert [name for name, one in module.named_parameters() if one.requires_grad and one.grad is None] == []
    assert module.objective.classifier.weight.grad.abs().sum() > 0


def test_a_validation_of_scenes_has_pictures_of_any_size():
    make, shape = TASKS["scenes"]
    module = make(input_shape=shape, objective=Rotation()).eval()
    pictures = [torch.randn(3, 64, 80), torch.randn(3, 96, 64)]
    whole, logged = module.objective.loss(module, {"input": pictures})
    each = [module.objective.loss(module, {"input": [picture]}) for picture in pictures]
    torch.testing.assert_close(whole, (each[0][0] + each[1][0]) / 2)
    assert logged["rotation_accuracy"] in (0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1)


def test_sounds_have_no_turns(one_line):
    backbone = partial(PreResNet, depth=8, spatial_dims=1)
    with pytest.raises(ValueError, match="turns pictures and frames of clips") as refusal:
        AudioClassification(backbone, 3, (1, 400), objective=Rotation(), **SGD_)
    one_line(refusal, "(1, 400)")
