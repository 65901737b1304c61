"""Activated gradients: the function, its place in the step, and what stands around it."""

from __future__ import annotations

import math

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.optim import SGD, Adam
from torch.utils.data import DataLoader

from blockyard.training.gradient_activation import GradientActivation

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False) | {"accelerator": "cpu"}
F = {"atan": math.atan, "tanh": math.tanh, "log": lambda x: math.copysign(math.log1p(abs(x)), x)}


class Quadratic(LightningModule):
    """The loss ½ k w² of one weight; the data are the curvatures k, so that the gradient is k w."""

    def __init__(self, optimizer=SGD, start: float = 1.0, dtype: torch.dtype = torch.float64, **options) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start], dtype=dtype))
        self.make, self.options = optimizer, {"lr": 0.5} | options

    def training_step(self, batch, batch_idx):
        return (batch.to(self.w) * self.w**2 / 2).mean()

    def configure_optimizers(self):
        return self.make(self.parameters(), **self.options)


def train(model: Quadratic, *callbacks, curvatures=(3.0, 0.2, 40.0, 1.0), resume=None, **options) -> float:
    data = DataLoader(torch.tensor(curvatures, dtype=torch.float64))
    options = {"enable_checkpointing": False, "max_epochs": 1} | options
    trainer = Trainer(**PLAIN, callbacks=list(callbacks), **options)
    trainer.fit(model, data, ckpt_path=resume)
    return model.w.item()


def by_hand(stage, activate, curvatures=(3.0, 0.2, 40.0, 1.0), decay=0.0, momentum=0.0, dampening=0.0) -> float:
    w, buffer = 1.0, None
    for k in curvatures:
        direction = activate(k * w) if stage == "gradient" else k * w
        direction += decay * w
        buffer = direction if buffer is None else momentum * buffer + (1 - dampening) * direction
        direction = buffer if momentum else direction
        w -= 0.5 * (activate(direction) if stage == "update" else direction)
    return w


class TestTheFunction:
    @pytest.mark.parametrize(("function", "limit"), [("atan", math.pi / 2), ("tanh", 1.0)])
    def test_is_bounded_odd_and_monotonous(self, function, limit):
        callback = GradientActivation(0.1, 20, function)
        gradient = torch.logspace(-20, 30, 200, dtype=torch.float64)
        activated = callback.activate(gradient)
        assert activated.max() <= 0.1 * limit
        assert activated.max() == pytest.approx(0.1 * limit)
        assert (activated.diff() >= 0).all()
        assert torch.equal(callback.activate(-gradient), -activated)

    @pytest.mark.parametrize("function", F)
    def test_small_gradients_grow_by_alpha_beta(self, function):
        gradient = torch.tensor([1e-8, -1e-9, 0.0], dtype=torch.float64)
        # the next term of the series is (β g)² / 3 of the first, of ln(1 + x) it is β g / 2
        torch.testing.assert_close(
            GradientActivation(0.1, 20, function).activate(gradient), 2 * gradient, rtol=2e-7, atol=0
        )

    @pytest.mark.parametrize("function", F)
    @pytest.mark.parametrize("stage", ["gradient", "update"])
    def test_with_alpha_beta_one_and_small_gradients_training_is_that_of_sgd(self, function, stage):
        options = {"momentum": 0.9, "weight_decay": 0.01, "start": 1e-7}
        activated = train(Quadratic(**options), GradientActivation(0.25, 4.0, function, stage))
        assert activated == pytest.approx(train(Quadratic(**options)), rel=1e-3)

    @pytest.mark.parametrize(
        "options", [{"alpha": 0}, {"beta": -1.0}, {"function": "relu"}, {"stage": "momentum"}], ids=str
    )
    def test_what_makes_no_sense_is_refused(self, options):
        with pytest.raises(ValueError, match=r"GradientActivation: .* must be"):
            GradientActivation(**options)


class TestTheOrder:
    """On a quadratic, the steps in closed form pin what comes before and after the activation."""

    @pytest.mark.parametrize("function", F)
    @pytest.mark.parametrize("stage", ["gradient", "update"])
    @pytest.mark.parametrize(
        "options",
        [{}, {"weight_decay": 0.1}, {"momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.9, "dampening": 0.3}],
        ids=str,
    )
    def test_equals_the_closed_form(self, function, stage, options):
        found = train(Quadratic(**options), GradientActivation(0.1, 20, function, stage))
        named = {"decay" if name == "weight_decay" else name: value for name, value in options.items()}
        assert found == pytest.approx(by_hand(stage, lambda g: 0.1 * F[function](20 * g), **named), rel=1e-12)

    def test_the_stages_differ(self):
        options = {"momentum": 0.9, "weight_decay": 0.1}
        first, second = (
            train(Quadratic(**options), GradientActivation(stage=stage)) for stage in ("gradient", "update")
        )
        assert abs(first - second) > 0.01

    def test_maximizing_climbs(self):
        climbing = train(Quadratic(maximize=True), GradientActivation(stage="update"), curvatures=(3.0,))
        assert climbing == pytest.approx(1 + 0.5 * 0.1 * math.atan(60))

    def test_any_optimiser_at_gradient(self):
        """Adam's first step is lr g / (|g| + ε), of whatever it takes for g."""
        found = train(Quadratic(Adam, eps=0.1), GradientActivation(), curvatures=(3.0,))
        activated = 0.1 * math.atan(60)
        assert found == pytest.approx(1 - 0.5 * activated / (activated + 0.1))


class TestWhatStandsAround:
    @pytest.mark.parametrize("stage", ["gradient", "update"])
    def test_accumulated_gradients_are_activated_once(self, stage):
        callback = GradientActivation(stage=stage)
        found = train(Quadratic(), callback, curvatures=(3.0, 0.2), accumulate_grad_batches=2)
        assert found == pytest.approx(1 - 0.5 * 0.1 * math.atan(20 * 1.6))

    @pytest.mark.parametrize("algorithm", ["value", "norm"])
    def test_clipping_sees_the_activated_gradient(self, algorithm):
        clip = {"gradient_clip_val": 0.05, "gradient_clip_algorithm": algorithm}
        found = train(Quadratic(), GradientActivation(), curvatures=(3.0,), **clip)
        assert found == pytest.approx(1 - 0.5 * 0.05, rel=1e-5)  # the norm is divided by itself + 1e-6

    def test_at_update_the_clipped_gradient_is_activated(self):
        clip = {"gradient_clip_val": 0.05, "gradient_clip_algorithm": "value"}
        found = train(Quadratic(), GradientActivation(stage="update"), curvatures=(3.0,), **clip)
        assert found == pytest.approx(1 - 0.5 * 0.1 * math.atan(20 * 0.05))

    @pytest.mark.parametrize("stage", ["gradient", "update"])
    def test_mixed_precision_s_scale_is_gone_before(self, stage):
        def mixed():
            return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))

        found = train(Quadratic(momentum=0.9), GradientActivation(stage=stage), plugins=[mixed()])
        assert found == pytest.approx(train(Quadratic(momentum=0.9), GradientActivation(stage=stage)), rel=1e-12)

    @pytest.mark.parametrize("stage", ["gradient", "update"])
    def test_a_step_that_mixed_precision_skips_stays_skipped(self, stage):
        """What overflowed is finite once activated, so the scaler must have looked before."""
        mixed = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
        found = train(Quadratic(), GradientActivation(stage=stage), curvatures=(3.0, math.inf), plugins=[mixed])
        assert found == pytest.approx(1 - 0.5 * 0.1 * math.atan(60))

    def test_an_optimiser_that_hides_the_scale_is_refused(self):
        mixed = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
        with pytest.raises(ValueError, match="a fused SGD hides its gradients' scale: set fused to false"):
            train(Quadratic(fused=True), GradientActivation(), plugins=[mixed])

    @pytest.mark.parametrize(
        ("optimizer", "options"), [(Adam, {}), (SGD, {"nesterov": True, "momentum": 0.9})], ids=["Adam", "Nesterov"]
    )
    def test_at_update_other_optimisers_are_refused(self, optimizer, options):
        with pytest.raises(ValueError, match="stage=update takes SGD without nesterov"):
            train(Quadratic(optimizer, **options), GradientActivation(stage="update"))

    @pytest.mark.parametrize("stage", ["gradient", "update"])
    def test_a_resumed_run_is_the_same(self, stage, tmp_path):
        options = {"momentum": 0.9, "weight_decay": 0.1}
        save = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
        callback = GradientActivation(stage=stage)
        whole = train(Quadratic(**options), callback, save, max_epochs=2, enable_checkpointing=True)
        again = train(Quadratic(**options), callback, max_epochs=2, resume=tmp_path / "step=4.ckpt")
        assert again == whole

    def test_an_optimiser_is_left_as_it_was(self):
        model, callback = Quadratic(), GradientActivation(stage="update")
        train(model, callback)
        assert not model.trainer.optimizers[0]._optimizer_step_post_hooks
