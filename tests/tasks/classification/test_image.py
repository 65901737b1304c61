"""What a task promises: a fair comparison, exact metrics, a stop before the damage."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import nn
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.blocks import SpectralNonlocal
from blockyard.datamodules import Digits
from blockyard.plugging import Plug
from blockyard.tasks import ImageClassification
from blockyard.tasks.classification.base import calibration_error

PLAIN = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
OPTIMIZER = partial(SGD, lr=0.1, momentum=0.9)


def task(**options) -> ImageClassification:
    return ImageClassification(PreResNet, num_classes=10, input_shape=(1, 8, 8), optimizer=OPTIMIZER, **options)


class Watch(Callback):
    """Keeps what each training step saw and said."""

    def __init__(self) -> None:
        self.indices: list[list[int]] = []
        self.losses: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.indices.append(batch["index"].tolist())
        self.losses.append(outputs["loss"].detach())


def first_steps(steps: int = 2, **options) -> tuple[Watch, ImageClassification]:
    seed_everything(5)
    watch, module = Watch(), task(**options)
    trainer = Trainer(**PLAIN, max_epochs=1, limit_train_batches=steps, limit_val_batches=0, callbacks=[watch])
    trainer.fit(module, Digits(variant="8x8", batch_size=32))
    return watch, module


class TestAgainstTheBaseline:
    def test_first_loss_is_bit_equal_and_the_data_are_the_same(self):
        plugged, _ = first_steps(block=SpectralNonlocal, at=["stage1.1", "stage2.1"])
        baseline, _ = first_steps()
        assert torch.equal(plugged.losses[0], baseline.losses[0])
        assert plugged.indices == baseline.indices
        assert not torch.equal(plugged.losses[1], baseline.losses[1]), "the blocks do not learn"

    def test_initial_weights_are_the_same(self):
        torch.manual_seed(1)
        baseline = task().network.state_dict()
        torch.manual_seed(1)
        plugged = task(block=SpectralNonlocal, at="stage2.1").network
        stock = {name.replace("layer2.1.host.", "layer2.1."): value for name, value in plugged.state_dict().items()}
        assert all(torch.equal(stock[name], value) for name, value in baseline.items())


class TestPlugs:
    def test_a_list_is_the_same_as_the_short_form(self):
        torch.manual_seed(1)
        short = task(block=SpectralNonlocal, at="stage2.1").state_dict()
        torch.manual_seed(1)
        listed = task(plugs=[Plug(SpectralNonlocal, "stage2.1")]).state_dict()
        assert short.keys() == listed.keys()
        assert all(torch.equal(short[name], listed[name]) for name in short)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"block": SpectralNonlocal}, "block is given without at"),
            ({"at": "stage2.1"}, "at is given without block"),
            ({"block": SpectralNonlocal, "at": "stage2.1", "plugs": [Plug(SpectralNonlocal, "stage2.1")]}, "not both"),
        ],
    )
    def test_forms_do_not_mix(self, options, message):
        with pytest.raises(ValueError, match=message):
            task(**options)


class TestTraining:
    def test_learns_real_digits(self):
        seed_everything(0)
        module = task()
        trainer = Trainer(**PLAIN, max_epochs=3)
        data = Digits(variant="8x8")
        trainer.fit(module, data)
        (metrics,) = trainer.test(module, data, verbose=False)
        assert metrics["test/top1"] > 0.5  # 0.7 to 0.95 over seeds and orders of summation; chance is 0.1

    def test_a_loss_that_is_not_finite_stops_before_the_optimiser_step(self):
        class Poison(Callback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                self.before = {name: value.clone() for name, value in pl_module.network.named_parameters()}
                if batch_idx == 2:
                    batch["input"][0] = float("nan")

        poison, module = Poison(), task()
        trainer = Trainer(**PLAIN, max_epochs=1, callbacks=[poison])
        with pytest.raises(FloatingPointError, match="the loss is nan at epoch 0, step 2"):
            trainer.fit(module, Digits(variant="8x8"))
        assert trainer.global_step == 2
        after = dict(module.network.named_parameters())
        assert all(torch.equal(after[name], value) for name, value in poison.before.items())

    def test_label_smoothing_is_for_training_only(self):
        logits, target = torch.randn(4, 10), torch.arange(4)
        module = task(label_smoothing=0.2)
        expected = 0.8 * nn.functional.cross_entropy(logits, target) - 0.2 * logits.log_softmax(1).mean()
        torch.testing.assert_close(module.loss(logits, target), expected)


class TestScores:
    def test_every_sample_has_one_and_they_make_the_metrics(self):
        data = Digits(variant="8x8")
        module = task()
        (metrics,) = Trainer(**PLAIN).test(module, data, verbose=False)
        top1, loss = module.sample_scores["top1"], module.sample_scores["loss"]
        assert top1.shape == loss.shape == (360,)
        assert top1.dtype == torch.uint8
        assert top1.double().mean().item() == pytest.approx(metrics["test/top1"])
        assert loss.double().mean().item() == pytest.approx(metrics["test/loss"])
        assert module.confusion.sum() == 360
        assert module.confusion.to_dense().diagonal().sum() == top1.sum()

    def test_they_stand_in_the_order_of_the_split(self):
        data = Digits(variant="8x8", batch_size=50)
        module = task().eval()
        Trainer(**PLAIN).test(module, data, verbose=False)
        batches = list(data.test_dataloader())
        right = [(module(batch["input"]).argmax(1) == batch["target"]) for batch in batches]
        assert torch.equal(module.sample_scores["top1"].bool(), torch.cat(right))


@pytest.mark.slow
class TestTwoProcesses:
    """The same metrics, to the last digit, however the samples fall on the processes."""

    @pytest.fixture(scope="class")
    def found(self, one_and_two_processes):
        """What a process alone, rank 0 and rank 1 of two found, by number of samples."""
        return one_and_two_processes("evaluate_few.py")

    @pytest.mark.parametrize("samples", ["8", "7", "1"])
    def test_metrics_scores_and_predictions(self, found, samples):
        alone, *together = (results[samples] for results in found)
        assert len(alone["scores"]["top1"]) == int(samples)
        assert len(alone["predictions"]) == int(samples) + 1
        assert together == [alone, alone]


class TestCalibration:
    def test_error_is_the_gap_between_confidence_and_accuracy_over_bins(self):
        probability = torch.tensor([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
        predicted, target = torch.tensor([1, 1, 1, 1, 0, 0]), torch.tensor([1, 1, 1, 0, 0, 2])
        error = calibration_error({"probability": probability, "predicted": predicted, "target": target})
        # four at 0.95 of which three are right, two at 0.55 of which one is
        assert error.item() == pytest.approx(4 / 6 * 0.20 + 2 / 6 * 0.05, abs=1e-6)

    def test_full_confidence_falls_into_the_last_bin(self):
        outcomes = {"probability": torch.tensor([0.95] * 9 + [1.0]), "predicted": torch.zeros(10).long()}
        error = calibration_error(outcomes | {"target": torch.tensor([0] * 9 + [1])})
        # one bin: |9 · 0.05 − 1| / 10; a bin of its own for the last would make it (9 · 0.05 + 1) / 10
        assert error.item() == pytest.approx(0.055, abs=1e-6)

    @pytest.mark.parametrize("confidence", [0.0, 1.0, 1 / 15, 14 / 15, 0.5, 1 + 1e-7])
    @pytest.mark.parametrize("right", [0, 1])
    def test_the_error_of_one_sample_is_how_far_it_is_off(self, confidence, right):
        outcomes = {"probability": torch.tensor([confidence]), "predicted": torch.tensor([0])}
        error = calibration_error(outcomes | {"target": torch.tensor([1 - right])})
        assert error.item() == pytest.approx(abs(right - confidence), abs=2e-7)

    def test_any_outcomes_by_the_definition(self):
        confidence, right = torch.rand(500).mul(1.2).clamp(max=1).double(), torch.rand(500) < 0.6
        bins = torch.tensor([min(int(15 * value), 14) for value in confidence.tolist()])
        expected = sum(
            (bins == b).sum() / 500 * abs(right[bins == b].double().mean() - confidence[bins == b].mean())
            for b in bins.unique()
        )
        outcomes = {"probability": confidence, "predicted": right.long(), "target": torch.ones(500).long()}
        assert calibration_error(outcomes).item() == pytest.approx(expected.item(), abs=1e-6)

    def test_a_test_gives_it(self):
        module = task()
        (metrics,) = Trainer(**PLAIN).test(module, Digits(variant="8x8", batch_size=100), verbose=False)
        assert metrics["test/ece"] == pytest.approx(calibration_error(module.outcomes).item())


class TestViews:
    @pytest.fixture
    def pictures(self):
        return torch.rand(3, 1, 8, 8, generator=torch.manual_seed(0))

    def test_a_mirrored_picture_gets_the_same_answer(self, pictures):
        module = task(flip_test=True).eval()
        # The two forward passes change places, and addition commutes: the same to the last bit.
        assert torch.equal(module.evaluate(pictures), module.evaluate(pictures.flip(-1)))
        assert not torch.equal(module(pictures), module(pictures.flip(-1)))

    def test_probabilities_are_averaged_over_crops_and_their_mirror_images(self, pictures):
        module = task(flip_test=True).eval()
        crops = torch.stack([pictures, pictures.roll(1, -1), pictures.roll(2, -1)], dim=1)
        each = [module(view).softmax(1) for crop in crops.unbind(1) for view in (crop, crop.flip(-1))]
        assert torch.allclose(module.evaluate(crops).exp(), torch.stack(each).mean(0), rtol=1e-5)

    def test_one_view_is_the_plain_answer(self, pictures):
        module = task().eval()
        assert torch.equal(module.evaluate(pictures), module(pictures))
        assert torch.allclose(module.evaluate(pictures[:, None]).softmax(1), module(pictures).softmax(1), rtol=1e-5)
