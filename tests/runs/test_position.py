"""How far a training is, how far it will go, and what a batch counts in its step."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.datamodules import Digits
from blockyard.runs.exact_resume import ExactResume
from blockyard.runs.position import Position, State, epochs_done, planned_steps, position_of, read_state
from blockyard.tasks import ImageClassification


class Watch(Callback):
    """Rates, positions and weights, before each batch or after it."""

    def __init__(self) -> None:
        self.rates: dict[int, float] = {}
        self.planned: int | None = None
        self.epochs: list[float] = []
        self.positions: list[Position] = []
        self.weights: list[torch.Tensor] = []

    def on_train_start(self, trainer, pl_module):
        self.planned = planned_steps(trainer)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates[trainer.global_step] = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.positions.append(position_of(trainer))
        self.epochs.append(epochs_done(trainer))
        self.weights.append(pl_module.network[1].weight.detach().clone())

    def on_validation_end(self, trainer, pl_module):
        self.positions.append(position_of(trainer))

    on_train_epoch_end = on_validation_end


def train(folder, resume=None, batch_size=100, schedule=None, also=(), **options) -> Watch:
    """One training of a linear network in float64; a checkpoint of each hook lies in the folder."""
    seed_everything(2)
    watch = Watch()
    task = ImageClassification(PreResNet, 10, (1, 8, 8), optimizer=partial(SGD, lr=1.0), **schedule or {})
    task.network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    saved = ModelCheckpoint(folder, "step={step}", save_top_k=-1, every_n_train_steps=1, auto_insert_metric_name=False)
    ended = ModelCheckpoint(
        folder, "epoch={epoch}", save_top_k=-1, save_on_train_epoch_end=True, auto_insert_metric_name=False
    )
    trainer = Trainer(
        **{"max_epochs": 2, "limit_val_batches": 1, "logger": False, "precision": "64-true"} | options,
        accelerator="cpu",
        callbacks=[ExactResume(), watch, saved, ended, *also],
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(task, Digits("8x8", batch_size=batch_size), ckpt_path=resume)
    return watch


def test_the_border_of_an_epoch_is_the_beginning_of_the_next(tmp_path):
    watch = train(tmp_path, limit_train_batches=3)
    first = [Position(0, 1, 1), Position(0, 2, 2), *[Position(1, 0, 3)] * 3]
    second = [Position(1, 1, 4), Position(1, 2, 5), *[Position(2, 0, 6)] * 3]
    assert watch.positions == first + second
    assert read_state(tmp_path / "step=2.ckpt").position == Position(0, 2, 2)
    assert read_state(tmp_path / "epoch=0.ckpt").position == Position(1, 0, 3)


@pytest.mark.parametrize("name", ["step=2", "step=3", "epoch=0", "epoch=1"])
def test_an_older_checkpoint_tells_it_too(tmp_path, name):
    train(tmp_path, limit_train_batches=3)
    file = tmp_path / f"{name}.ckpt"
    position, content = read_state(file).position, torch.load(file, weights_only=True)
    del content["position"]
    torch.save(content, file)
    assert read_state(file).position == position


def test_what_is_no_checkpoint_of_a_training_says_so(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "weights.ckpt")
    with pytest.raises(ValueError, match=r"weights\.ckpt is no checkpoint that a training can go on from"):
        read_state(tmp_path / "weights.ckpt")


@pytest.mark.parametrize("said", [{}, {"epoch": -1, "batch": 0, "step": 1}, {"epoch": "1", "batch": 0, "step": 1}, 7])
def test_a_position_that_is_none_says_so_too(tmp_path, said):
    torch.save({"position": said}, tmp_path / "strange.ckpt")
    with pytest.raises(ValueError, match=r"strange\.ckpt is no checkpoint that a training can go on from"):
        read_state(tmp_path / "strange.ckpt")


def test_over_says_why():
    position = Position(2, 0, 6)
    state = State(position, stopped=False)
    assert state.is_over({"max_epochs": 2}) == "2 epochs and 6 steps are done of trainer.max_epochs 2"
    assert state.is_over({"max_epochs": -1, "max_steps": 5}) == "2 epochs and 6 steps are done of trainer.max_steps 5"
    assert state.is_over({"max_epochs": 3, "max_steps": -1}) is None
    assert state.is_over({}) is None


def test_what_was_stopped_early_is_over_while_something_stops_it():
    state = State(Position(2, 0, 6), stopped=True)
    for name in ("StopEarly", "lightning.pytorch.callbacks.EarlyStopping"):
        callbacks = [{"class_path": "EMA"}, {"class_path": name, "init_args": {}}]
        assert state.is_over({"max_epochs": 9, "callbacks": callbacks}).endswith("and it was stopped early")
    assert state.is_over({"max_epochs": 9, "callbacks": [{"class_path": "EMA"}]}) is None
    assert state.is_over({"max_epochs": 9, "callbacks": None}) is None


def cosine(step: int, total: int, warmup: int = 0) -> float:
    return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def poly(step: int, total: int, warmup: int = 0) -> float:
    return (1 - (step - warmup) / (total - warmup)) ** 0.9


@pytest.mark.parametrize(("name", "shape"), [("cosine", cosine), ("poly", poly)])
@pytest.mark.parametrize("warmup", [0, 1])
@pytest.mark.parametrize(
    ("file", "options", "length", "an_epoch"),
    [
        ("epoch=1", {"max_epochs": 4}, 12, 3),  # longer
        ("epoch=0", {"max_epochs": 3}, 9, 3),
        ("step=2", {"max_epochs": 4}, 12, 3),
        ("step=4", {"max_epochs": 4, "max_steps": 10}, 10, 3),
        (
            "epoch=0",
            {"max_epochs": 4, "batch_size": 50, "limit_train_batches": 6},
            3 + 3 * 6,
            6,
        ),  # other steps an epoch
        ("epoch=0", {"max_epochs": 4, "limit_train_batches": 6, "accumulate_grad_batches": 4}, 3 + 3 * 2, 2),
    ],
)
def test_each_rate_is_the_closed_form_of_the_present_length(
    tmp_path, name, shape, warmup, file, options, length, an_epoch
):
    schedule = {"lr_scheduler": name, "warmup_epochs": warmup, "warmup_factor": 0.1}
    train(tmp_path, schedule=schedule, limit_train_batches=3, max_epochs=2)
    watch = train(tmp_path / "on", tmp_path / f"{file}.ckpt", schedule=schedule, **{"limit_train_batches": 3} | options)
    steps = warmup * an_epoch
    assert max(watch.rates) == length - 1
    assert watch.planned == length
    for step, rate in watch.rates.items():
        expected = 0.1 + 0.9 * step / steps if step < steps else shape(step, length, steps)
        assert rate == pytest.approx(expected, rel=1e-12, abs=1e-15), step  # the same formula in float64


def test_cut_is_the_closed_form_too(tmp_path):
    schedule = {"lr_scheduler": "cosine"}
    train(tmp_path, schedule=schedule, limit_train_batches=3, max_epochs=5)
    watch = train(tmp_path / "on", tmp_path / "epoch=1.ckpt", schedule=schedule, limit_train_batches=3, max_epochs=3)
    assert watch.rates == pytest.approx({step: cosine(step, 9) for step in range(6, 9)}, rel=1e-12)


def test_a_schedule_by_steps_refuses_another_warm_up(tmp_path):
    schedule = {
        "lr_scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=2),
        "lr_interval": "step",
        "warmup_epochs": 1,
    }
    train(tmp_path, schedule=schedule, limit_train_batches=3)
    with pytest.raises(ValueError, match="the warm-up took 3 steps and would now take 5"):
        train(tmp_path / "on", tmp_path / "epoch=0.ckpt", schedule=schedule, limit_train_batches=5)


def test_the_last_batches_of_an_epoch_share_their_step_as_a_mean(tmp_path):
    """Five batches by twos: two steps of 200 samples as without accumulation, one along the mean of the last 100."""
    watch = train(tmp_path, limit_train_batches=5, accumulate_grad_batches=2, max_epochs=1)
    large = train(tmp_path / "large", limit_train_batches=2, batch_size=200, max_epochs=1)
    # float64 sums in another order
    torch.testing.assert_close(watch.weights[3], large.weights[1], rtol=1e-12, atol=1e-13)

    seed_everything(2)
    data = Digits("8x8", batch_size=100)
    batch = [batch for batch, _ in zip(data.train_dataloader(), range(5), strict=False)][4]
    weight = watch.weights[3].clone().requires_grad_()
    bias = torch.load(tmp_path / "step=2.ckpt", weights_only=True)["state_dict"]["network.1.bias"]
    loss = F.cross_entropy(batch["input"].double().flatten(1) @ weight.T + bias, batch["target"])
    (gradient,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(watch.weights[4], weight.detach() - gradient, rtol=1e-12, atol=1e-13)


def test_accumulation_may_grow(tmp_path):
    growing = GradientAccumulationScheduler({0: 1, 1: 2, 2: 3})
    options = {"limit_train_batches": 5, "max_epochs": 3, "schedule": {"lr_scheduler": "cosine"}}
    watch = train(tmp_path, also=[growing], **options)
    assert watch.planned == 5 + 3 + 2
    assert watch.rates == pytest.approx({step: cosine(step, 10) for step in range(10)}, rel=1e-12)


def test_epochs_are_counted_in_parts(tmp_path):
    whole = [1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2]
    assert train(tmp_path, limit_train_batches=3).epochs == pytest.approx(whole)
    options = {"limit_train_batches": 6, "batch_size": 50, "max_epochs": 3}
    resumed = train(tmp_path / "on", tmp_path / "epoch=1.ckpt", **options)
    assert resumed.epochs == pytest.approx([2 + batch / 6 for batch in range(1, 7)])
