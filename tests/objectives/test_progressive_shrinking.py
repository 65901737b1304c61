"""A network trains alone, then with ever smaller ones within, which learn from what it knew."""

from __future__ import annotations

import copy
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import seed_everything
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import ElasticMobileNet, LogMel, PreResNet
from blockyard.backbones.elastic import Choices, sub_network
from blockyard.blocks import ECA
from blockyard.objectives import ProgressiveShrinking
from blockyard.tasks import AudioClassification, AudioTagging, ImageClassification, PersonReID

SMALL = partial(
    ElasticMobileNet, widths=[8, 16], depths=2, kernels=5, expansions=4, strides=[1, 2], gated=[False, True], stem=8,
    last=24, hidden=None, rectified=1,
)  # fmt: skip
STEPS = 40


def shrinking(**options) -> ProgressiveShrinking:
    return ProgressiveShrinking(**{"kernels": [3], "depths": [1], "expansions": [2], "begins": [0, 0, 0], **options})


def task(objective, backbone=SMALL, kind=ImageClassification, **options):
    seed_everything(1)
    options = {"num_classes": 3, "input_shape": (1, 8, 8), "optimizer": SGD, **options}
    return kind(backbone, objective=objective, **options).double()


def batch(size: int = 4, shape: tuple[int, ...] = (1, 8, 8)) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(size, *shape).double(), "target": torch.tensor([0, 2, 1, 2])[:size]}


def stepped(module, at: int = 0, data: dict | None = None):
    """A step by hand, at some step of a training, that moves nothing but statistics; the gradients stay."""
    module._trainer = SimpleNamespace(global_step=at, estimated_stepping_batches=STEPS, current_epoch=0, fit_loop=None)
    module.optimizers = lambda: SimpleNamespace(zero_grad=module.zero_grad, step=lambda: None)
    module.manual_backward = lambda loss: loss.backward()
    return module.objective.step(module, data or batch(), 0)


def test_before_the_first_phase_it_trains_as_without(trained):
    """Bit for bit, dropout and the order of the data included."""
    backbone = partial(SMALL, dropout=0.1)
    plain, whole, two = (
        trained(backbone, each) for each in (None, shrinking(begins=[1, 1, 1]), shrinking(begins=[0.5, 1, 1]))
    )
    assert all(torch.equal(plain[name], whole[name]) for name in plain)
    assert not all(torch.equal(plain[name], two[name]) for name in plain)


class TestPhases:
    def test_open_in_order(self):
        module = task(shrinking(begins=[0.25, 0.5, 0.75]))
        own, found = module.objective, []
        for step in range(0, STEPS, 5):
            stepped(module, step)
            found.append((own.phase(module), int(own.begun)))
        assert found == [(phase, phase) for phase in (0, 0, 1, 1, 2, 2, 3, 3)]

    def test_each_keeps_what_opened_before(self):
        own = task(shrinking()).objective
        counts = [own.opened(phase).count for phase in range(4)]
        assert counts == [1, 2**4, (2 + 4) ** 2, (4 + 16) ** 2]
        assert own.opened(3) == own.space
        assert all(own.opened(phase).smallest in own.opened(phase + 1) for phase in range(3))

    def test_one_that_is_passed_over_begins_too(self):
        module = task(shrinking(begins=[0.5, 0.5, 0.5]))
        stepped(module, 19)
        before = module.objective.teacher.state_dict()
        assert not module.objective.begun
        module.network.fc.bias.data += 1
        stepped(module, 20)
        assert module.objective.begun == 3
        assert torch.equal(module.objective.teacher.fc.bias, module.network.fc.bias)
        assert before.keys() == module.network.state_dict().keys()

    def test_are_of_a_training_that_ends(self):
        module = task(shrinking(begins=[0.5, 0.5, 0.5]))
        stepped(module)
        module._trainer.estimated_stepping_batches = math.inf
        with pytest.raises(ValueError, match=r"has no end: set trainer\.max_epochs"):
            module.objective.phase(module)


class TestDraw:
    def test_is_that_of_the_step(self):
        one, same, other = (task(shrinking(seed=seed)).objective for seed in (0, 0, 1))
        draws = [one.draw(step, 3) for step in range(30)]
        assert draws == [same.draw(step, 3) for step in range(30)]
        assert draws != [other.draw(step, 3) for step in range(30)]
        assert all(len(each) == 2 and choices in one.space for each in draws for choices in each)
        assert len({choices for each in draws for choices in each}) > 40
        assert [one.draw(step, 0) for step in range(3)] == [[]] * 3

    def test_takes_what_is_open_alone(self):
        own = task(shrinking()).objective
        for phase in (1, 2):
            drawn = [choices for step in range(30) for choices in own.draw(step, phase)]
            assert all(choices in own.opened(phase) for choices in drawn)
            assert {choices.depths == (2, 2) for choices in drawn} == ({True} if phase == 1 else {True, False})


class TestGradients:
    @pytest.mark.parametrize("distillation", [0.0, 0.7])
    def test_are_the_mean_of_those_of_networks_of_their_own(self, distillation):
        """Copies, trained alone on the batch: on its labels, and on what the teacher says."""
        module = task(shrinking(distillation=distillation), label_smoothing=0.1)
        own, data = module.objective, batch()
        stepped(module)  # after which the channels have their order
        with torch.no_grad():
            for matrix in own.sharing.parameters():
                matrix += 0.1 * torch.randn_like(matrix)
        copies = [own.extracted(module.network, choices) for choices in (own.space.whole, *own.draw(0, 3))]
        with torch.no_grad():
            taught = own.teacher.eval()(data["input"]).softmax(1)
        loss, logged = stepped(module)
        losses = [
            F.cross_entropy(logits, data["target"], label_smoothing=0.1)
            + distillation * F.cross_entropy(logits, taught)
            for logits in (part(data["input"]) for part in copies)
        ]
        torch.testing.assert_close(list(logged.values()), [each.detach() for each in losses], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(loss, torch.stack(losses).mean().detach(), rtol=1e-6, atol=1e-6)
        torch.stack(losses).mean().backward()
        for name, parameter in module.network.named_parameters():
            expected = torch.zeros_like(parameter)
            for part in copies:
                parts = dict(part.named_parameters())
                if name in parts:
                    lent = own.sharing.lend(name, parameter, parts[name].shape)
                    expected += torch.autograd.grad(lent, parameter, parts[name].grad)[0]
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-5, atol=1e-7)

    def test_of_a_step_are_those_of_the_loss(self):
        module = task(shrinking())
        whole = copy.deepcopy(module)
        stepped(module)
        whole._trainer = module._trainer
        whole.objective.loss(whole, batch())[0].backward()
        for (name, one), other in zip(module.named_parameters(), whole.parameters(), strict=True):
            assert (one.grad is None) == (other.grad is None), name
            if one.grad is not None:
                torch.testing.assert_close(one.grad, other.grad)

    def test_of_matrices_come_with_kernels_that_shrank(self):
        module = task(shrinking())
        stepped(module)
        given = {name for name, p in module.objective.sharing.named_parameters() if p.grad is not None}
        expected = set()
        for choices in module.objective.draw(0, 3):
            kernels = iter(choices.kernels)
            for stage, depth in enumerate(choices.depths):
                shrank = [unit for unit in range(depth) if next(kernels) == 3]
                expected |= {f"units.layer{stage + 1}_{unit}.transforms.3" for unit in shrank}
        assert given == expected


class TestTeacher:
    def test_is_the_network_at_the_end_of_the_first_phase(self):
        module = task(shrinking(begins=[0.5, 0.6, 0.7]))
        own = module.objective
        stepped(module, 0)
        with torch.no_grad():
            module.network.fc.weight += 1
        stepped(module, 20)
        weights = copy.deepcopy(own.teacher.state_dict())
        assert torch.equal(weights["fc.weight"], module.network.fc.weight)
        with torch.no_grad():
            module.network.fc.weight += 1
        stepped(module, 39)
        assert all(torch.equal(weights[name], tensor) for name, tensor in own.teacher.state_dict().items())

    def test_learns_nothing(self):
        module = task(shrinking())
        assert not [name for name, _ in module.named_parameters() if "teacher" in name]
        assert module.network.state_dict().keys() == task(None).network.state_dict().keys()

    def test_goes_on_from_a_checkpoint(self):
        """It, the order of channels, and that both are there already."""
        module = task(shrinking())
        stepped(module)
        with torch.no_grad():
            module.network.layer1[0].project[0].weight.normal_()
        other = task(shrinking())
        other.load_state_dict(copy.deepcopy(module.state_dict()))
        stepped(module, 1)
        stepped(other, 1)
        assert all(
            torch.equal(one, two)
            for one, two in zip(module.state_dict().values(), other.state_dict().values(), strict=True)
        )


class TestExtracted:
    def test_is_the_network_that_trained(self):
        module = task(shrinking())
        own, seen = module.objective, batch()["input"]
        stepped(module)
        for choices in (own.space.smallest, *own.draw(0, 3)):
            part = own.extracted(module.network, choices)
            assert torch.equal(part(seen), own._run(module.network, choices, seen)[1])
            assert type(part) is ElasticMobileNet
            fresh = SMALL(3, 1, **choices.options())
            fresh.double().load_state_dict(part.state_dict())
            assert torch.equal(fresh(seen), part(seen))

    def test_orders_channels_when_they_open(self):
        module = task(shrinking(begins=[0, 0, 0.5]))
        own, choices = module.objective, module.objective.space.smallest
        stepped(module, 19)
        first = sub_network(module.network, choices)
        assert torch.equal(own.extracted(module.network, choices).fc.weight, first.fc.weight)
        assert torch.equal(own.sharing.units["layer1_0"].channels, torch.arange(32))
        stepped(module, 20)
        sums = module.network.layer1[0].project[0].weight.abs().sum((0, 2, 3))
        assert torch.equal(sums[own.sharing.units["layer1_0"].channels], sums.sort(descending=True).values)

    def test_others_are_refused(self, one_line):
        module = task(shrinking())
        with pytest.raises(ValueError, match="ProgressiveShrinking") as refusal:
            module.objective.extracted(module.network, Choices((1, 1), (7, 7), (4, 4)))
        one_line(refusal, "is none of its 400 networks")


class TestResolutions:
    def test_a_step_has_one(self):
        own = shrinking(resolutions=[0.5, 0.75])
        found = [own.resolution(step) for step in range(30)]
        assert set(found) == {0.5, 0.75, 1.0}
        assert found == [shrinking(resolutions=[0.5, 0.75]).resolution(step) for step in range(30)]
        assert {shrinking().resolution(step) for step in range(5)} == {1.0}

    def test_all_of_a_step_see_it(self):
        module = task(shrinking(resolutions=[0.5]))
        step = next(step for step in range(30) if module.objective.resolution(step) == 0.5)
        seen = []
        for network in (module.network, module.objective.teacher):
            network.stem.register_forward_hook(lambda _, args, out: seen.append(args[0].shape))
        stepped(module, step)
        assert seen == [(4, 1, 4, 4)] * 2


class TestBeside:
    def test_tags_learn_from_each_label_of_the_teacher(self):
        module = task(shrinking(), partial(SMALL, spatial_dims=1), AudioTagging, input_shape=(1, 64))
        data = batch(4, (1, 64)) | {"target": torch.randint(2, (4, 3))}
        loss, _ = stepped(module, 0, data)
        assert loss.isfinite()

    def test_a_front_end_runs_once(self):
        module = task(shrinking(), SMALL, AudioClassification, input_shape=(1, 800), front_end=LogMel(8000, n_mels=16))
        seen = []
        module.network.front_end.register_forward_hook(lambda *_: seen.append(1))
        loss, _ = stepped(module, 0, batch(4, (1, 800)))
        assert loss.isfinite()
        assert len(seen) == 1

    def test_what_is_frozen_stays(self):
        module = task(shrinking(), freeze=["layer1"])
        module.train()
        before = {name: tensor.clone() for name, tensor in module.network.layer1.state_dict().items()}
        stepped(module)
        assert all(parameter.grad is None for parameter in module.network.layer1.parameters())
        assert all(torch.equal(before[name], t) for name, t in module.network.layer1.state_dict().items())


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"begins": [0.5, 0.2, 0.7]}, "begins must be three shares of the training, ascending"),
            ({"begins": [0.5, 0.7]}, "begins must be three shares"),
            ({"begins": [0.5, 0.7, 1.2]}, "begins must be three shares"),
            ({"resolutions": [0.0]}, "resolutions must be above 0 and up to 1"),
            ({"resolutions": [1.5]}, "resolutions must be above 0 and up to 1"),
            ({"drawn": 0}, "drawn=0 must be positive"),
            ({"distillation": -1.0}, "distillation=-1.0 not negative"),
            ({"kernels": [2]}, "kernels odd"),
            ({"kernels": [5], "depths": [2], "expansions": []}, "no kernel, depth or expansion is below"),
        ],
    )
    def test_what_makes_no_training(self, options, said, one_line):
        with pytest.raises(ValueError, match="objective: ProgressiveShrinking") as refusal:
            task(shrinking(**options))
        one_line(refusal, said)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"backbone": partial(PreResNet, depth=8)}, "PreResNet has no networks within"),
            ({"block": ECA, "at": "stage1"}, "the block at layer1"),
        ],
    )
    def test_other_networks(self, options, said, one_line):
        with pytest.raises(ValueError, match="within") as refusal:
            task(shrinking(), **options)
        one_line(refusal, said)

    def test_a_task_without_labels(self, one_line):
        with pytest.raises(ValueError, match="a classification's labels, which PersonReID has not") as refusal:
            task(shrinking(), kind=PersonReID, input_shape=(3, 16, 8))
        one_line(refusal)
