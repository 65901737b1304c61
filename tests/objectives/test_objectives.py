"""What an objective may be beside, and what comes of one with steps of its own."""

from __future__ import annotations

import csv
import importlib.util
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.cli import ReduceLROnPlateau
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from blockyard.backbones import PreResNet
from blockyard.composing.trainer_options import try_out
from blockyard.datamodules import Digits
from blockyard.leaderboard.identity import identity
from blockyard.leaderboard.record import read_all
from blockyard.objectives import Default, Objective, Rotation
from blockyard.runs.record import RunRecord
from blockyard.tasks import AudioTagging, ImageClassification, Mixing, PersonReID, SemanticSegmentation
from blockyard.tasks.base import Task
from blockyard.training.bias_loss import BiasLoss

SMALL = {"backbone": partial(PreResNet, depth=8, dropout=0.0), "num_classes": 10}
PLAIN = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class Own(Objective):
    """The cross entropy, by steps of its own."""

    steps = 1

    def loss(self, task, batch):
        return F.cross_entropy(task(batch["input"]), batch["target"]), {"batch": torch.tensor(len(batch["input"]))}

    def step(self, task, batch, batch_idx):
        optimizer = task.optimizers()
        for _ in range(self.steps):
            loss, logged = self.loss(task, batch)
            optimizer.zero_grad()
            task.manual_backward(loss)
            optimizer.step()
        return loss, logged


def task(**options) -> ImageClassification:
    seed_everything(1)
    options = {"optimizer": partial(SGD, lr=0.1, momentum=0.9), **options}
    return ImageClassification(**SMALL, input_shape=(1, 8, 8), **options)


class Rates(Callback):
    """The learning rate of every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, *_):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def train(module, *callbacks, **options) -> Trainer:
    trainer = Trainer(accelerator="cpu", **PLAIN, callbacks=list(callbacks), **{"max_epochs": 2, **options})
    trainer.fit(module, Digits("8x8", batch_size=300))
    return trainer


class TestOwnSteps:
    @pytest.mark.parametrize(
        "schedule",
        [
            {"lr_scheduler": "cosine", "warmup_epochs": 1},
            {"lr_scheduler": partial(StepLR, step_size=1, gamma=0.5)},
            {"lr_scheduler": partial(StepLR, step_size=3), "lr_interval": "step"},
        ],
        ids=["whole run", "epochs", "steps"],
    )
    def test_the_same_gradients_give_the_same_training(self, schedule):
        """Bit for bit: weights, and the rate of every step."""
        rates = [Rates(), Rates()]
        modules = [task(**schedule), task(**schedule, objective=Own())]
        trainers = [train(module, rate, limit_val_batches=0) for module, rate in zip(modules, rates, strict=True)]
        assert trainers[0].global_step == trainers[1].global_step == 8
        assert rates[0].seen == rates[1].seen
        assert len(set(rates[0].seen)) > 1
        weights, own = (module.network.state_dict() for module in modules)
        assert all(torch.equal(weights[name], own[name]) for name in weights)

    @pytest.mark.parametrize("steps", [0, 2])
    def test_one_step_a_batch_is_what_everything_counts_on(self, steps):
        module = task(objective=Own())
        module.objective.steps = steps
        if not steps:
            module.objective.step = lambda task, batch, batch_idx: module.objective.loss(task, batch)
        with pytest.raises(ValueError, match=f"Own made {steps} optimiser steps of a batch"):
            train(module)

    def test_a_loss_that_is_not_finite_ends_the_training(self):
        module = task(objective=Own())
        module.network.fc.bias.data[0] = math.nan
        with pytest.raises(FloatingPointError, match=r"loss is nan .* stopped after the optimiser step"):
            train(module)

    def test_a_schedule_that_follows_a_metric_is_refused(self):
        with pytest.raises(ValueError, match="ReduceLROnPlateau does not go with Own"):
            train(task(objective=Own(), lr_scheduler=partial(ReduceLROnPlateau, monitor="val/loss")))

    @pytest.mark.parametrize(
        ("option", "said"),
        [
            ({"accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches: Own makes its own steps"),
            ({"gradient_clip_val": 1.0}, "trainer.gradient_clip_val: Own makes its own steps"),
        ],
    )
    def test_what_lightning_does_between_gradients_and_step_is_refused(self, option, said, one_line):
        options = {"callbacks": None, "accumulate_grad_batches": 1, "gradient_clip_val": None, **option}
        with pytest.raises(ValueError, match=said) as refusal:
            try_out(options, task(objective=Own()), Digits("8x8"))
        one_line(refusal)

    def test_evaluation_and_record_are_the_task_s(self, tmp_path):
        record = RunRecord(str(tmp_path))
        model = {"class_path": "ImageClassification", "init_args": {"objective": {"class_path": "Own"}}}
        record.config = {"seed_everything": 1, "trainer": {}, "model": model, "data": {"class_path": "Digits"}}
        module = task(objective=Own())
        trainer = train(module, record)
        trainer.test(module, Digits("8x8"), verbose=False)
        (found,), _ = read_all([tmp_path])
        assert (found.primary, found.steps, found.planned_steps, found.complete) == ("top1", 8, 8, True)
        assert found.parameters == sum(one.numel() for one in module.network.parameters())


class TestBeside:
    @pytest.mark.parametrize(
        ("kind", "options", "named"),
        [
            (ImageClassification, {"label_smoothing": 0.1}, "label_smoothing at 0.0"),
            (ImageClassification, {"mixing": Mixing(mixup_alpha=0.2)}, "mixing at null"),
            (ImageClassification, {"loss": BiasLoss}, "loss at null"),
            (ImageClassification, {"class_weights": "balanced"}, "class_weights at null"),
            (AudioTagging, {"label_smoothing": 0.1}, "label_smoothing at 0.0"),
            (PersonReID, {"label_smoothing": 0.0}, "label_smoothing at 0.1"),
            (PersonReID, {"metric_loss": None}, "metric_loss at TripletMarginLoss"),
            (PersonReID, {"miner": "none"}, "miner at null"),
            (SemanticSegmentation, {"class_weights": [1.0] * 10}, "class_weights at null"),
        ],
    )
    def test_options_that_nobody_would_look_at_are_refused(self, kind, options, named, one_line):
        small = {} if kind is SemanticSegmentation else {"backbone": SMALL["backbone"]}
        with pytest.raises(ValueError, match="objective: Rotation takes the place of the loss") as refusal:
            kind(**small, num_classes=10, input_shape=(3, 8, 8), objective=Rotation(), optimizer=SGD, **options)
        one_line(refusal, named)

    def test_a_loss_with_weights_of_its_own_has_none_to_wait_for(self):
        module = PersonReID(**SMALL, input_shape=(3, 8, 8), optimizer=SGD, objective=Rotation())
        assert module.metric_loss is None

    @pytest.mark.parametrize("objective", [Default(), ImageClassification.default_objective()])
    def test_what_a_task_has_by_itself_is_not_named(self, objective, one_line):
        with pytest.raises(ValueError, match="is what a task has by itself: leave objective away") as refusal:
            task(objective=objective)
        one_line(refusal, type(objective).__name__)

    def test_a_task_without_any_says_so(self):
        module = Task(SMALL["backbone"](10, 1), (1, 8, 8), SGD)
        with pytest.raises(NotImplementedError, match="Task names no default_objective"):
            module.training_step({"input": torch.zeros(1, 1, 8, 8)}, 0)

    def test_a_task_that_gives_no_vectors_is_refused(self, one_line):
        with pytest.raises(ValueError, match="gives no vector") as refusal:
            Task(SMALL["backbone"](10, 1), (1, 8, 8), SGD, objective=Rotation())
        one_line(refusal, "Task")


def test_null_leaves_an_experiment_what_it_was():
    def of(**options):
        model = {"class_path": "ImageClassification", "init_args": options}
        return identity({"seed_everything": 0, "model": model, "data": {"class_path": "Digits"}}).experiment

    assert of() == of(objective=None) != of(objective={"class_path": "blockyard.objectives.rotation.Rotation"})


def test_the_default_has_nothing_that_a_checkpoint_would_lack():
    assert not [name for name in task().state_dict() if not name.startswith("network.")]


def test_the_example_of_the_docs_trains():
    page = (Path(__file__).parents[2] / "docs" / "objectives.md").read_text()
    found: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], found)
    module = task(objective=found["Brightness"]())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = train(module, limit_train_batches=2)
    after = module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"objective.head.weight", "network.conv1.weight"} < changed
    assert not changed & {"network.fc.weight", "network.fc.bias"}
    assert trainer.callback_metrics["val/closeness"] < 0


def test_the_table_of_the_docs_comes_from_the_committed_figures():
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("rotation", root / "benchmarks" / "rotation.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    each: dict[int, dict[tuple[str, str], float]] = {}
    with benchmark.RESULTS.open(newline="") as file:
        for row in csv.DictReader(file):
            each.setdefault(int(row["seed"]), {})[row["pictures"], row["row"]] = float(row["top1"])
    assert len(each) == 5
    assert benchmark.table(each) in (root / "docs" / "objectives.md").read_text()
