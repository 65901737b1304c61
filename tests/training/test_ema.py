"""The average is the formula's, and it is what gets validated, kept and tested."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.blocks import SpectralNonlocal
from blockyard.datamodules import Digits
from blockyard.runs.exact_resume import ExactResume
from blockyard.tasks import ImageClassification
from blockyard.training.ema import EMA

PLAIN = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
STEPS = 6


class Indexed(PreResNet):
    """Has what Swin has: an index among the buffers, which no checkpoint holds."""

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__(num_classes, in_channels, depth=8)
        self.register_buffer("order", torch.arange(50), persistent=False)


def task() -> ImageClassification:
    seed_everything(3)
    optimizer = partial(SGD, lr=0.1, momentum=0.9)
    return ImageClassification(Indexed, 10, (1, 8, 8), optimizer=optimizer, block=SpectralNonlocal, at="stage2.0")


def data() -> Digits:
    return Digits("8x8", batch_size=400)  # four steps an epoch, the last one smaller


def trainer(folder: Path, *callbacks: Callback, devices: int = 1, **options) -> Trainer:
    kept = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1, enable_version_counter=False)
    best = ModelCheckpoint(
        folder, "best", monitor="val/top1", mode="max", save_on_train_epoch_end=False, enable_version_counter=False
    )
    return Trainer(
        **PLAIN,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_epochs=2,
        limit_train_batches=3,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        callbacks=[*callbacks, kept, best, ExactResume()],
        **options,
    )


def clone(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Watch(Callback):
    """The weights after every step, and what validation looked at."""

    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []
        self.validated: list[dict[str, torch.Tensor]] = []
        self.scores: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.weights.append(clone(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.validated.append(clone(pl_module))

    def on_validation_end(self, trainer, pl_module):
        self.scores.append(trainer.callback_metrics["val/top1"].item())


def load(folder: Path, step: int) -> dict:
    return torch.load(folder / f"step={step}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, watch, module = tmp_path_factory.mktemp("ema"), Watch(), task()
    fitted = trainer(folder, EMA(decay=0.6), watch)
    fitted.fit(module, data())
    return folder, watch, module, fitted


class TestTheAverage:
    @pytest.mark.parametrize(("warm_up", "kept"), [(True, [2 / 11, 3 / 12, 4 / 13, 5 / 14]), (False, [0.3] * 4)])
    def test_is_that_of_the_formula_running_statistics_included(self, tmp_path, warm_up, kept):
        watch = Watch()
        trainer(tmp_path, EMA(decay=0.3, warm_up=warm_up), watch).fit(task(), data())
        average = {name: value.double() for name, value in watch.weights[0].items()}
        for step, share in enumerate(kept, 1):
            share = min(share, 0.3)
            for name, value in watch.weights[step].items():
                average[name] = share * average[name] + (1 - share) * value.double()
            found = load(tmp_path, step + 1)["state_dict"]
            for name, value in found.items():
                if value.is_floating_point():
                    torch.testing.assert_close(value.double(), average[name], rtol=1e-5, atol=1e-6)  # float32
                else:
                    assert torch.equal(value, watch.weights[step][name]), "a count was averaged"
        assert any(".block." in name for name in found)

    def test_an_index_stays_as_it_is(self, run):
        assert torch.equal(run[2].network.order, torch.arange(50))

    def test_does_not_change_the_training(self, run, tmp_path):
        watch = Watch()
        trainer(tmp_path, watch).fit(task(), data())
        assert len(watch.weights) == STEPS
        assert all(equal(with_it, without) for with_it, without in zip(run[1].weights, watch.weights, strict=True))


class TestWhichWeights:
    def test_validation_looks_at_the_average_and_training_goes_on(self, run):
        folder, watch, *_ = run
        assert equal(watch.validated[0], load(folder, 3)["state_dict"])
        assert equal(load(folder, 3)["current_model_state"], watch.weights[2])
        assert not equal(watch.validated[0], watch.weights[2])

    def test_best_is_the_best_average_and_a_test_of_it_tests_that(self, run):
        folder, watch, module, fitted = run
        best = torch.load(folder / "best.ckpt", weights_only=True)
        epoch = watch.scores.index(max(watch.scores))
        assert equal(best["state_dict"], watch.validated[epoch])
        for tester, tested in ((fitted, module), (trainer(folder, EMA()), task()), (trainer(folder), task())):
            tester.test(tested, data(), ckpt_path=folder / "best.ckpt", verbose=False)
            assert equal(clone(tested), best["state_dict"]), "the weights in training were tested"
            (again,) = tester.validate(tested, data(), verbose=False)
            assert again["val/top1"] == max(watch.scores)

    def test_after_training_the_network_has_the_average(self, tmp_path):
        module = task()
        trainer(tmp_path, EMA(decay=0.6)).fit(module, data())
        assert equal(clone(module), load(tmp_path, STEPS)["state_dict"])

    def test_a_checkpoint_written_as_validation_fails_has_them_in_their_places(self, tmp_path):
        class Fail(Callback):
            def on_validation_batch_end(self, *_):
                raise RuntimeError("stop")

            def on_exception(self, trainer, *_):
                trainer.save_checkpoint(tmp_path / "failed.ckpt")

        watch = Watch()
        with pytest.raises(RuntimeError, match="stop"):
            trainer(tmp_path, EMA(decay=0.6), watch, Fail()).fit(task(), data())
        saved = torch.load(tmp_path / "failed.ckpt", weights_only=True)
        assert equal(saved["current_model_state"], watch.weights[-1])
        assert equal(saved["state_dict"], watch.validated[-1])


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_resume_is_exact_for_both_weights(run, tmp_path, step):
    whole = load(run[0], STEPS)
    trainer(tmp_path, EMA(decay=0.6)).fit(task(), data(), ckpt_path=run[0] / f"step={step}.ckpt")
    resumed = load(tmp_path, STEPS)
    assert equal(resumed["state_dict"], whole["state_dict"])
    assert equal(resumed["current_model_state"], whole["current_model_state"])
    assert resumed["averaging_state"] == whole["averaging_state"]


def test_mistakes():
    with pytest.raises(ValueError, match=r"EMA: decay=1\.5 must be from 0 to 1"):
        EMA(decay=1.5)


@pytest.mark.slow
def test_two_processes_have_the_same_average(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pair = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    environment = os.environ | pair | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ranks = [
        subprocess.Popen([sys.executable, __file__, tmp_path], env=environment | {"LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(timeout=180) for process in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    saved = load(tmp_path, STEPS)
    parameters = dict(task().named_parameters())
    for name in parameters:
        assert torch.equal(first[name], second[name])
        assert torch.equal(first[name], saved["state_dict"][name])
        assert not torch.equal(first[name], saved["current_model_state"][name])


def main(folder: Path) -> None:
    """One of two processes: train, and keep the weights that a test would see."""
    module = task()
    fitted = trainer(folder, EMA(decay=0.6), devices=2)
    fitted.fit(module, data())
    torch.save(module.state_dict(), folder / f"{fitted.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
