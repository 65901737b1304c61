"""Channels last, torch.compile, half precision, clipping and accumulation: the same training, made otherwise."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_macs
from blockyard.datamodules import Digits
from blockyard.plugging import PlugError, plug, sites
from blockyard.runs.record import RunRecord
from blockyard.tasks import ActionRecognition, ImageClassification
from blockyard.training.bias_loss import BiasLoss

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False) | {"accelerator": "cpu"}


def task(kind=ImageClassification, shape=(1, 8, 8), **options):
    seed_everything(1)
    backbone = partial(PreResNet, depth=8, spatial_dims=len(shape) - 1, dropout=0.0)
    options = {"block": SpectralNonlocal, "at": "stage2.0"} | options
    return kind(backbone, 10, shape, optimizer=partial(SGD, lr=0.1, momentum=0.9), **options)


class Losses(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []
        self.steps: list[int] = []
        self.gradients: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, *_):
        self.seen.append(outputs["loss"].item() * trainer.accumulate_grad_batches)  # Lightning divides
        self.steps.append(trainer.global_step)

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if gradients:
            self.gradients.append(torch.nn.utils.get_total_norm(gradients).item())


def train(module, *callbacks, batches=4, batch_size=64, **options) -> Losses:
    losses = Losses()
    options = {"enable_checkpointing": False, "max_epochs": 1} | options
    trainer = Trainer(
        **PLAIN, limit_train_batches=batches, limit_val_batches=0, callbacks=[losses, *callbacks], **options
    )
    trainer.fit(module, Digits("8x8", batch_size=batch_size))
    return losses


@pytest.fixture(scope="module")
def plain() -> Losses:
    return train(task())


def same(losses: Losses, expected: Losses, relative: float) -> None:
    assert losses.seen == pytest.approx(expected.seen, rel=relative)
    assert losses.seen[-1] != losses.seen[0]


class TestChannelsLast:
    def test_the_losses_are_the_same_but_for_rounding(self, plain):
        same(train(task(channels_last=True)), plain, 1e-3)  # float32 sums in another order, over four steps

    @pytest.mark.parametrize(
        ("kind", "shape", "layout"),
        [
            (ImageClassification, (3, 8, 8), torch.channels_last),
            (ActionRecognition, (3, 4, 8, 8), torch.channels_last_3d),
        ],
    )
    def test_weights_and_inputs_lie_so(self, kind, shape, layout):
        module, seen = task(kind, shape, channels_last=True), []
        convolutions = [layer for layer in module.network.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
        assert len(convolutions) > 6
        assert all(layer.weight.is_contiguous(memory_format=layout) for layer in convolutions)
        module.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        x = torch.randn(4, *shape)
        module(x)
        assert seen[0].is_contiguous(memory_format=layout)
        assert torch.equal(seen[0], x)

    def test_and_so_do_the_maps_of_a_picture(self):
        module, seen = task(shape=(3, 8, 8), channels_last=True), {}
        for name, layer in module.network.named_modules():
            if isinstance(layer, nn.Conv2d | nn.BatchNorm2d) and ".block." not in name:
                layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        module(torch.randn(4, 3, 8, 8))
        assert not [name for name, out in seen.items() if not out.is_contiguous(memory_format=torch.channels_last)]

    def test_checkpoints_are_those_of_any_other_run(self):
        laid, usual = task(channels_last=True), task()
        usual.load_state_dict(laid.state_dict())
        laid.load_state_dict(usual.state_dict())
        assert laid.network.conv1.weight.is_contiguous(memory_format=torch.channels_last)

    def test_a_network_without_such_convolutions_is_refused(self):
        with pytest.raises(ValueError, match="channels_last: PreResNet has no convolution of rank 2 or 3"):
            task(shape=(1, 64), channels_last=True)


class TestCompile:
    @pytest.fixture(scope="class")
    def compiled(self):
        module = task(compile="eager")
        return module, train(module)

    def test_the_losses_are_those_of_the_network_as_it_is(self, compiled, plain):
        # the same kernels: equal in torch 2.13; in 2.11 one rounding of float32, 1e-7, shows at the fourth step
        assert compiled[1].seen == pytest.approx(plain.seen, rel=1e-6)
        assert compiled[0].network._compiled_call_impl is not None

    def test_a_loss_that_looks_at_the_map_too(self):
        module, usual = task(compile="aot_eager", loss=BiasLoss), task(loss=BiasLoss)
        same(train(module, batches=2), train(usual, batches=2), 1e-4)
        assert module.state_dict().keys() == usual.state_dict().keys()

    def test_what_is_compiled_for_other_vectors_is_not_taken_from_the_cache_on_disk(self, monkeypatch):
        monkeypatch.setattr(torch.compiler.config, "cache_key_tag", "")
        task(compile=True)
        assert torch.compiler.config.cache_key_tag == torch.backends.cpu.get_cpu_capability()

    @pytest.mark.slow
    @pytest.mark.skipif(not torch.backends.mkldnn.enabled, reason="torch 2.13 mistakes a convolution's strides there")
    def test_fused_kernels_too(self, plain):
        torch.compiler.reset()  # what other tests compiled at other sizes would make this one's sizes symbols
        losses = train(task(compile=True), batches=2)
        assert losses.seen == pytest.approx(plain.seen[:2], rel=1e-3)  # float32 sums in another order, over two steps

    def test_names_of_weights_and_costs_are_those_of_the_network_as_it_is(self, compiled, tmp_path):
        module, usual = compiled[0], task()
        assert module.state_dict().keys() == usual.state_dict().keys()
        assert module.network is not copy.copy(module.network)
        assert count_macs(copy.copy(module.network), (1, 8, 8)) == count_macs(usual.network, (1, 8, 8)) > 1e5

    def test_a_record_has_them(self, tmp_path):
        module, record = task(compile="eager"), RunRecord(str(tmp_path))
        record.config = {
            "seed_everything": 1,
            "trainer": {},
            "model": {"class_path": "ImageClassification"},
            "data": {"class_path": "Digits"},
        }
        trainer = Trainer(**PLAIN, callbacks=[record])
        trainer.test(module, Digits("8x8"), verbose=False)
        (written,) = tmp_path.glob("*.json")
        assert f'"macs": {count_macs(task().network, (1, 8, 8))}' in written.read_text()

    def test_before_a_run_the_network_can_be_looked_at_and_edited(self):
        module = task(compile="eager")
        assert sites(module.network, torch.zeros(1, 1, 8, 8))
        plug(module.network, SpectralNonlocal, "stage3.0")

    def test_afterwards_it_takes_no_further_plug(self, compiled):
        with pytest.raises(PlugError):
            plug(compiled[0].network, SpectralNonlocal, "stage3.0")

    def test_mistakes(self):
        with pytest.raises(ValueError, match=r"compile: torch has no backend indctor; did you mean inductor\?"):
            task(compile="indctor")


def half(scale: float) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))


class TestPrecision:
    def test_bfloat16(self, plain):
        same(train(task(), precision="bf16-mixed"), plain, 0.1)  # 8 bits of mantissa

    def test_float16(self, plain):
        same(train(task(), plugins=[half(2.0**8)]), plain, 0.02)  # 11 bits of mantissa

    def test_a_gradient_that_overflows_is_skipped_and_training_goes_on(self):
        module, scales, weights = task(), [], []

        class Watch(Callback):
            def on_train_batch_end(self, trainer, pl_module, *_):
                scales.append(trainer.precision_plugin.scaler.get_scale())
                weights.append(pl_module.network.fc.weight.detach().clone())

        before = module.network.fc.weight.detach().clone()
        losses = train(module, Watch(), plugins=[half(2.0**30)], batches=20)
        assert all(math.isfinite(loss) for loss in losses.seen)
        assert scales[0] == 2.0**29, "the scale was not halved"
        assert torch.equal(weights[0], before), "a step with an infinite gradient was taken"
        assert not torch.equal(weights[-1], before), "no step was ever taken"

    def test_a_loss_that_overflows_is_an_error_in_half_precision_too(self):
        module = task()
        with torch.no_grad():
            module.network.conv1.weight.mul_(1e6)  # beyond 65504, the largest number of float16
            module.network.fc.weight.mul_(1e6)
        with pytest.raises(FloatingPointError, match="at epoch 0, step 0: stopped before the optimiser step"):
            train(module, plugins=[half(1.0)])


class TestGradients:
    def test_are_clipped(self, plain):
        assert max(plain.gradients) > 0.5
        assert max(train(task(), gradient_clip_val=0.25).gradients) <= 0.2501

    def test_are_accumulated_to_those_of_the_whole_batch(self, plain):
        """Without batch statistics, two halves of a batch have the mean gradient of the whole."""

        class Frozen(Callback):
            def on_train_batch_start(self, trainer, pl_module, *_):
                pl_module.network.eval()

        whole = train(task(), Frozen())
        halves = train(task(), Frozen(), batches=8, batch_size=32, accumulate_grad_batches=2)
        assert halves.steps == [0, 1, 1, 2, 2, 3, 3, 4]
        means = [(a + b) / 2 for a, b in zip(halves.seen[::2], halves.seen[1::2], strict=True)]
        assert means == pytest.approx(whole.seen, rel=1e-3)  # float32 sums in another order, over four steps
