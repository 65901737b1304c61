"""Paths dropped more and more often: how often at each step, and that nothing else changes."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from timm.layers import DropPath
from torch import nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from blockyard import plug
from blockyard.blocks import SpectralNonlocal
from blockyard.datamodules import Digits
from blockyard.runs.exact_resume import ExactResume
from blockyard.training.scheduled_drop_path import ScheduledDropPath, final_probabilities

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False) | {"accelerator": "cpu"}
EPOCHS, STEPS_AN_EPOCH = 2, 4
STEPS = EPOCHS * STEPS_AN_EPOCH


class Residual(nn.Module):
    def __init__(self, path: nn.Module) -> None:
        super().__init__()
        self.branch, self.path = nn.Linear(64, 64), path

    def forward(self, x):
        return x + self.path(self.branch(x))


class Network(LightningModule):
    """Three residual branches whose paths drop, and how often they did at each step."""

    def __init__(self, *paths: nn.Module) -> None:
        super().__init__()
        self.paths = paths or (DropPath(0.1), DropPath(0.4), StochasticDepth(0.2, "row"))
        self.net = nn.Sequential(*map(Residual, self.paths), nn.Linear(64, 10))
        self.probabilities: list[list[float]] = []

    def training_step(self, batch, batch_idx):
        self.probabilities.append([path.drop_prob if isinstance(path, DropPath) else path.p for path in self.paths])
        return F.cross_entropy(self.net(batch["input"].flatten(1)), batch["target"])

    def validation_step(self, batch, batch_idx):
        x = batch["input"].flatten(1)
        assert torch.equal(self.net(x), self.net(x)), "evaluation drops paths"

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def train(*callbacks: Callback, model: Network | None = None, resume=None, **options) -> Network:
    seed_everything(3)
    model = model or Network()
    options = {"max_epochs": EPOCHS, "enable_checkpointing": False, "use_distributed_sampler": False} | options
    Trainer(**PLAIN, callbacks=list(callbacks), **options).fit(model, Digits("8x8", batch_size=300), ckpt_path=resume)
    return model


class TestTheSchedule:
    def test_rises_linearly_to_what_each_path_was_built_with(self):
        model = train(ScheduledDropPath())
        assert model.probabilities[0] == [0, 0, 0]
        expected = torch.arange(STEPS)[:, None] / STEPS * torch.tensor([0.1, 0.4, 0.2])
        torch.testing.assert_close(torch.tensor(model.probabilities), expected)
        assert [model.paths[0].drop_prob, model.paths[1].drop_prob, model.paths[2].p] == [0.1, 0.4, 0.2]

    def test_rises_to_one_probability_for_all(self):
        model = train(ScheduledDropPath(0.3))
        expected = (torch.arange(STEPS) / STEPS * 0.3)[:, None].expand(-1, 3)
        torch.testing.assert_close(torch.tensor(model.probabilities), expected)
        assert {path.drop_prob for path in model.paths[:2]} == {0.3}

    def test_counts_optimiser_steps_where_gradients_accumulate(self):
        model = train(ScheduledDropPath(0.4), accumulate_grad_batches=2)
        expected = [0.4 * (step // 2) / (STEPS / 2) for step in range(STEPS)]
        assert [p for p, *_ in model.probabilities] == pytest.approx(expected)

    def test_ends_with_a_number_of_steps_too(self):
        model = train(ScheduledDropPath(0.4), max_epochs=-1, max_steps=5)
        assert [p for p, *_ in model.probabilities] == pytest.approx([0.4 * step / 5 for step in range(5)])

    def test_a_second_training_starts_anew(self):
        schedule, model = ScheduledDropPath(), Network()
        for _ in range(2):
            model.probabilities.clear()
            train(schedule, model=model)
            assert model.probabilities[0] == [0, 0, 0]
            assert model.probabilities[4] == pytest.approx([0.05, 0.2, 0.1])

    def test_a_training_that_fails_leaves_the_network_whole(self):
        class Fail(Callback):
            def on_train_batch_end(self, *args):
                raise RuntimeError("out of memory")

        model = Network()
        with pytest.raises(RuntimeError, match="out of memory"):
            train(ScheduledDropPath(), Fail(), model=model)
        assert model.paths[1].drop_prob == 0.4


def test_a_run_resumed_in_the_middle_of_an_epoch_is_the_same(tmp_path):
    save = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    whole = train(ScheduledDropPath(0.5), save, ExactResume(), enable_checkpointing=True)
    for step in (3, 5):
        resumed = train(ScheduledDropPath(0.5), ExactResume(), resume=tmp_path / f"step={step}.ckpt")
        assert resumed.probabilities == whole.probabilities[step:]
        for name, weights in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[name], weights), name


@pytest.mark.parametrize("path", [DropPath(), StochasticDepth(0.0, "row")], ids=lambda path: type(path).__name__)
def test_the_expectation_stays_at_every_probability(path):
    """A kept path is 1 / (1 - p): exactly, and on average 1."""

    class Outputs(Callback):
        def __init__(self) -> None:
            self.seen: list[torch.Tensor] = []

        def on_train_batch_end(self, trainer, pl_module, *args):
            self.seen.append(path(torch.ones(20_000, 1)))

    outputs = Outputs()
    model = train(ScheduledDropPath(0.5), outputs, model=Network(path))
    for (p,), seen in zip(model.probabilities, outputs.seen, strict=True):
        assert {round(value, 5) for value in seen.unique().tolist()} <= {0, round(1 / (1 - p), 5)}
        deviation = math.sqrt(p / (1 - p) / len(seen))
        assert abs(seen.mean() - 1) <= 5 * deviation + 1e-6  # one seed in a million


@pytest.mark.parametrize(
    "name", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224", "efficientnet_b0", "regnety_002"]
)
def test_finds_the_paths_of_a_network_of_timm(name):
    found = final_probabilities(timm.create_model(name, drop_path_rate=0.2)).values()
    assert max(found) > 0.15
    assert len(set(found)) > 2, "they grow with depth"
    assert set(final_probabilities(timm.create_model(name, drop_path_rate=0.2), 0.3).values()) == {0.3}


def test_finds_the_paths_of_a_plugged_network():
    stock = timm.create_model("resnet10t", drop_path_rate=0.2)
    before = list(final_probabilities(stock).values())
    plugged = plug(stock, SpectralNonlocal, ["layer2.0", "layer3.0.drop_path"])
    assert list(final_probabilities(plugged).values()) == before


def test_a_network_that_drops_nothing_is_refused():
    for model in (Network(nn.Identity()), Network(DropPath(0.0))):
        with pytest.raises(ValueError, match=r"nothing in the network drops a path; --model\.backbone\.drop_path_rate"):
            train(ScheduledDropPath(), model=model)


@pytest.mark.parametrize("inside", [False, True])
def test_a_compiled_network_is_refused(inside):
    model = Network()
    if inside:
        model.net = torch.compile(model.net, backend="eager")
    else:
        model.net.compile(backend="eager")
    with pytest.raises(ValueError, match="compiled anew at every step"):
        train(ScheduledDropPath(), model=model)


def test_a_run_without_an_end_is_refused():
    with pytest.raises(ValueError, match=r"the run has no last step; set trainer\.max_epochs"):
        train(ScheduledDropPath(), max_epochs=-1)


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_a_probability_that_leaves_nothing_is_refused(probability):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        ScheduledDropPath(probability)
