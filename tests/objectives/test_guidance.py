"""A guide draws maps towards its own, is changed by nothing, and is nowhere else."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import seed_everything
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet, TimmFeatures
from blockyard.backbones.inputs.log_mel import LogMel
from blockyard.backbones.weights import weights_follow
from blockyard.cli import main
from blockyard.composing.preparing import prepare
from blockyard.hub import from_checkpoint
from blockyard.objectives import Guidance
from blockyard.objectives.guidance import cka
from blockyard.tasks import AudioClassification, ImageClassification, Mixing, PersonReID, SemanticSegmentation
from blockyard.tasks.restoration import ImageRestoration

SMALL = partial(PreResNet, depth=8, dropout=0.0)


def task(objective, shape=(1, 8, 8), backbone=SMALL, **options) -> ImageClassification:
    seed_everything(1)
    options = {"optimizer": partial(SGD, lr=0.1), "num_classes": 3, **options}
    return ImageClassification(backbone, input_shape=shape, objective=objective, **options)


def batch(*shape: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"input": torch.randn(4, *shape), "target": torch.tensor([0, 2, 1, 2])}


class TestAlignment:
    """Linear CKA, by the formula and by what leaves it alone."""

    def test_is_the_formula(self):
        x, y = torch.randn(7, 5).double(), torch.randn(7, 3).double()
        h = torch.eye(7).double() - 1 / 7
        k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
        expected = torch.trace(k @ m) / (torch.trace(k @ k) * torch.trace(m @ m)).sqrt()
        torch.testing.assert_close(cka(x, y), expected)

    # roundings of float64 in sums of some ten products
    @settings(max_examples=20, deadline=None)
    @given(st.integers(2, 9), st.integers(1, 12), st.floats(1e-6, 1e6), st.integers(0, 99))
    def test_is_1_to_itself_turned_scaled_and_moved(self, samples, features, factor, seed):
        generator = torch.Generator().manual_seed(seed)
        x, matrix, y = (
            torch.randn(*size, generator=generator).double()
            for size in ((samples, features), (features, features), (samples, 4))
        )
        turned = factor * x @ torch.linalg.qr(matrix)[0] + 3
        assert cka(x, turned).item() == pytest.approx(1, abs=1e-8)
        assert cka(x, y).item() == pytest.approx(cka(turned, y).item(), abs=1e-8)
        assert -1e-12 <= cka(x, y).item() <= 1 + 1e-12

    def test_another_linear_map_is_another_representation(self):
        x = torch.randn(9, 4).double()
        assert cka(x, x @ torch.diag(torch.tensor([1.0, 1, 1, 30])).double()) < 0.9

    def test_two_samples_are_always_alike(self):
        assert cka(torch.randn(2, 5).double(), torch.randn(2, 3).double()).item() == pytest.approx(1)

    def test_gradient(self):
        x, y = torch.randn(4, 3).double().requires_grad_(), torch.randn(4, 2).double()
        assert torch.autograd.gradcheck(cka, (x, y))

    @pytest.mark.parametrize("x", [torch.randn(1, 5), torch.ones(4, 5)], ids=["one sample", "the same samples"])
    def test_where_nothing_differs_it_is_0_with_no_gradient(self, x):
        x = x.clone().requires_grad_()
        found = cka(x, torch.randn(len(x), 3))
        found.backward()
        assert found == 0
        assert torch.equal(x.grad, torch.zeros_like(x))

    def test_maps_of_an_untrained_guide_may_be_huge(self):
        x, y = torch.randn(5, 6), torch.randn(5, 6)
        torch.testing.assert_close(cka(x, 1e25 * y), cka(x, y))

    def test_is_not_rounded_to_half_precision(self):
        x, y = torch.randn(5, 6), torch.randn(5, 6)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(cka(x, y), cka(x, y).float())
            found = cka(x, y)
        assert torch.equal(found, cka(x, y))


class TestLoss:
    def test_is_the_sum_that_it_says(self):
        """With a guide of four stages for three: the first goes with its second, ⌈4 / 3⌉."""
        guide = partial(TimmFeatures, name="test_resnet")
        module, given_ = task(Guidance(guide, weight=0.5), (3, 32, 32), label_smoothing=0.1), batch(3, 32, 32)
        loss, logged = module.objective.loss(module, given_)
        module.objective.guide("cpu")
        (own,) = module.objective._held
        maps, others = module.network.features(given_["input"]), own.features(given_["input"])
        assert len(others) == 4
        alike = [cka(m.flatten(1), g.flatten(1)) for m, g in zip(maps, (others[i] for i in (1, 2, 3)), strict=True)]
        assert [logged[f"cka{i}"].item() for i in (1, 2, 3)] == pytest.approx([one.item() for one in alike], abs=1e-5)
        expected = F.cross_entropy(module.network(given_["input"]), given_["target"], label_smoothing=0.1)
        torch.testing.assert_close(loss, expected + 0.5 * sum(1 - one for one in alike), rtol=1e-4, atol=1e-5)

    def test_a_guide_that_is_the_network_is_alike(self, tmp_path):
        """Of the same weights, in evaluation, by its file."""
        plain = task(None)
        torch.save(plain.network.state_dict(), tmp_path / "guide.pt")
        module = task(Guidance(partial(SMALL, weights=tmp_path / "guide.pt"))).eval()
        _, logged = module.objective.loss(module, batch(1, 8, 8))
        assert [value.item() for value in logged.values()] == pytest.approx([1, 1, 1], abs=1e-5)

    def test_it_learns_to_be_alike(self):
        module, given_ = task(Guidance(partial(PreResNet, depth=20), "stage3", "stage3", weight=10.0)), batch(1, 8, 8)
        optimizer, found = SGD(module.parameters(), 0.05), []
        for _ in range(8):
            optimizer.zero_grad()
            loss, logged = module.objective.loss(module, given_)
            loss.backward()
            optimizer.step()
            found.append(logged["cka1"].item())
        assert found[-1] > found[0] + 0.1

    def test_the_guide_sees_what_the_network_sees(self):
        """Also mixed samples."""
        module = task(Guidance(SMALL), mixing=Mixing(mixup_alpha=1.0))
        seen = []
        for network in (module.network, module.objective.guide("cpu")):
            network.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        module.objective.loss(module, batch(1, 8, 8))
        assert torch.equal(*seen)
        assert not torch.equal(seen[0], batch(1, 8, 8)["input"])

    def test_behind_a_front_end_it_sees_spectrograms(self):
        mel = LogMel(sample_rate=8000, n_fft=256, n_mels=16, freq_mask=4)
        module = AudioClassification(SMALL, 3, (1, 4000), front_end=mel, optimizer=SGD, objective=Guidance(SMALL))
        seen = []
        for network in (module.network.backbone, module.objective.guide("cpu")):
            network.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        module.train().objective.loss(module, batch(1, 4000))
        assert torch.equal(*seen)

    @pytest.mark.parametrize(
        ("kind", "options", "shape", "target"),
        [
            (PersonReID, {"backbone": SMALL, "num_classes": 3}, (3, 16, 8), torch.tensor([0, 0, 1, 1])),
            (ImageRestoration, {"backbone": SMALL}, (3, 16, 16), torch.rand(4, 3, 16, 16)),
            (
                SemanticSegmentation,
                {
                    "backbone": partial(TimmFeatures, name="test_resnet"),
                    "decode_head": {"type": "FCNHead", "channels": 8},
                    "num_classes": 3,
                },
                (3, 32, 32),
                torch.randint(3, (4, 32, 32)),
            ),
        ],
    )
    def test_any_task_adds_it_to_its_own_loss(self, kind, options, shape, target):
        module = kind(**options, input_shape=shape, optimizer=SGD, objective=Guidance(SMALL)).train()
        module._trainer = type("Trainer", (), {"world_size": 1})()
        module.log = module.log_dict = lambda *_, **__: None
        own = copy.deepcopy(module)
        expected, _ = own.default_objective().loss(own, batch(*shape) | {"target": target})
        loss, logged = module.objective.loss(module, batch(*shape) | {"target": target})
        alike = [value for name, value in logged.items() if name.startswith("cka")]
        torch.testing.assert_close(loss, expected + sum(1 - one for one in alike))
        loss.backward()
        assert not [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]


class TestTheGuide:
    def test_is_held_out_of_everything(self):
        plain, module = task(None), task(Guidance(partial(SMALL, dropout=0.5)))
        assert module.state_dict().keys() == plain.state_dict().keys()
        assert len(list(module.parameters())) == len(list(plain.parameters()))
        assert len(list(module.modules())) == len(list(plain.modules()))

    def test_nothing_changes_it(self):
        module = task(Guidance(partial(SMALL, dropout=0.5))).train()
        guide = module.objective.guide("cpu")
        before = copy.deepcopy(guide.state_dict())
        loss, _ = module.objective.loss(module, batch(1, 8, 8))
        loss.backward()
        assert not guide.training
        assert all(p.grad is None and not p.requires_grad for p in guide.parameters())
        assert all(torch.equal(before[name], value) for name, value in guide.state_dict().items())
        assert not any(part._forward_hooks for part in guide.modules())

    def test_is_the_same_in_every_run_and_leaves_the_draws_of_others_alone(self):
        module, plain = task(Guidance(SMALL)), task(None)
        state = torch.get_rng_state()
        torch.manual_seed(9)
        other = task(Guidance(SMALL))
        pair = [one.objective.guide("cpu").state_dict() for one in (module, other)]
        assert all(torch.equal(pair[0][name], pair[1][name]) for name in pair[0])
        weights = plain.network.state_dict()
        assert all(torch.equal(weights[name], value) for name, value in module.network.state_dict().items())
        assert torch.equal(torch.get_rng_state(), state)
        another = task(Guidance(SMALL, seed=1)).objective.guide("cpu")
        assert not torch.equal(another.conv1.weight, pair[0]["conv1.weight"])

    def test_moves_with_the_task(self):
        module = task(Guidance(SMALL)).double()
        assert module.objective.guide("cpu").conv1.weight.dtype == torch.float64

    def test_where_a_checkpoint_follows_its_file_is_read_when_training_goes_on(self, tmp_path):
        guide = partial(SMALL, weights=tmp_path / "gone.pt")
        with weights_follow():
            module = task(Guidance(guide))
        with pytest.raises(ValueError, match=r"gone\.pt"):
            module.objective.loss(module, batch(1, 8, 8))
        torch.save(task(None).network.state_dict(), tmp_path / "gone.pt")
        module.objective.loss(module, batch(1, 8, 8))
        assert torch.equal(module.objective.guide("cpu").conv1.weight, task(None).network.conv1.weight)


def test_a_weight_of_zero_trains_the_network_that_there_is_without(trained):
    """Bit for bit, dropout and the order of the data included."""
    backbone, guide = partial(PreResNet, depth=8, dropout=0.1), partial(PreResNet, depth=8)
    plain, zero, some = (trained(backbone, one) for one in (None, Guidance(guide, weight=0.0), Guidance(guide)))
    assert all(torch.equal(plain[name], zero[name]) for name in plain)
    assert not all(torch.equal(plain[name], some[name]) for name in plain)


class Points(nn.Module):
    """No stages."""

    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 2, 1)

    def forward(self, x):
        return self.conv(x)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"weight": -1.0}, "weight=-1.0 must not be negative"),
            ({"at": "stage7"}, "at='stage7' matches nothing in PreResNet"),
            ({"guide_at": "layer9"}, "at='layer9' matches nothing in PreResNet"),
            ({"guide_at": "fc"}, "sees nothing of each sample at fc: say another guide_at"),
            ({"guide": Points}, "Points has no stages: say guide_at"),
            ({"guide": partial(SMALL, spatial_dims=1)}, "the guide PreResNet can't see samples (1, 8, 8)"),
        ],
    )
    def test_what_can_guide_nothing(self, options, said, one_line):
        with pytest.raises(ValueError) as refusal:  # noqa: PT011 - one_line looks at what it says
            task(Guidance(**{"guide": SMALL, **options}))
        one_line(refusal, said)


def test_a_name_that_is_none_is_answered_by_the_nearest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    digits = ["fit", "--config", "image_classification/digits.yaml", "--model.objective", "Guidance"]
    assert main([*digits, "--model.objective.guide", "PreResNe"]) == 2
    assert "no guide PreResNe; did you mean PreResNet?" in capsys.readouterr().err
    assert main(digits) == 2
    assert "Guidance needs guide" in capsys.readouterr().err


def test_from_the_command_line(tmp_path, monkeypatch):
    """The file of a guide is needed to go on, and for nothing else."""
    monkeypatch.chdir(tmp_path)
    digits = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--model.backbone.depth", "8"]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"]
    torch.save(SMALL(10, 1).state_dict(), "guide.pt")
    guided = ["--model.objective", "Guidance", "--model.objective.guide", "PreResNet"]
    guided += ["--model.objective.guide.depth", "8", "--model.objective.guide.weights", "guide.pt"]
    assert main(["fit", *digits, *quiet, *short, *guided, "--trainer.default_root_dir", "run"]) == 0
    (tmp_path / "guide.pt").unlink()
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(name.startswith("network.") for name in saved)
    assert main(["test", "--ckpt_path", str(checkpoint), *quiet]) == 0
    prepare()
    whole = from_checkpoint(checkpoint)
    assert {f"network.{name}" for name in whole.network.state_dict()} == saved.keys()
    assert "objective" not in whole.card.model["init_args"]
