"""A run that goes on is the same run, a new experiment that says so, or refused."""

from __future__ import annotations

import copy
import inspect
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from blockyard.composing import resuming
from blockyard.composing.resuming import changes, on_resume, parent_of_resumed, statement
from blockyard.leaderboard.identity import ADDED, IGNORED, canonical, identity
from blockyard.leaderboard.labels import differences
from blockyard.runs.position import Position

SAVED = {
    "seed_everything": 0,
    "trainer": {
        "max_epochs": 4,
        "precision": None,
        "accumulate_grad_batches": 1,
        "gradient_clip_val": None,
        "callbacks": None,
        "devices": "auto",
        "default_root_dir": None,
        "max_time": None,
    },
    "model": {
        "class_path": "ImageClassification",
        "init_args": {"block": {"class_path": "SpectralNonlocal"}, "at": "stage2.0", "warmup_epochs": 0},
    },
    "data": {"class_path": "Digits", "init_args": {"batch_size": 64, "num_workers": 2, "root": "data", "seed": None}},
}
BORDER, MIDDLE = Position(2, 0, 20), Position(2, 3, 23)


def changed(path: str, value: object, config: dict | None = None) -> dict:
    config = copy.deepcopy(config or SAVED)
    *parents, last = path.split(".")
    node = config
    for key in parents:
        node = node[key]
    node[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trainer.devices", 8),
        ("trainer.default_root_dir", "elsewhere"),
        ("trainer.max_time", "00:00:10:00"),
        ("trainer.callbacks", [{"class_path": "lightning.pytorch.callbacks.LearningRateMonitor"}]),
        ("data.init_args.num_workers", 0),
        ("data.init_args.root", "/disk"),
    ],
)
@pytest.mark.parametrize("position", [BORDER, MIDDLE])
def test_where_it_is_carried_out_makes_no_other_run(path, value, position):
    now = changed(path, value)
    assert parent_of_resumed(SAVED, now, position) is None
    assert identity(now) == identity(SAVED)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trainer.max_epochs", 6),
        ("trainer.max_epochs", 3),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.gradient_clip_val", 1.0),
        ("trainer.accumulate_grad_batches", 2),
        ("trainer.callbacks", [{"class_path": "StopEarly", "init_args": {"patience": 3}}]),
        ("data.init_args.batch_size", 32),
    ],
)
def test_another_course_of_training_is_a_new_experiment_that_says_so(path, value):
    now = changed(path, value)
    parent = parent_of_resumed(SAVED, now, BORDER)
    of = identity(SAVED)
    assert (parent["experiment"], parent["run"], parent["step"]) == (of.experiment, of.run, 20)
    went_on = {**now, "parent": parent}
    straight, own = identity(now), identity(went_on)
    assert len({of.run, straight.run, own.run}) == 3, "not the run before, nor one that was so from its first step"
    assert statement(parent, now).startswith(f"a new experiment, from step 20 of run {of.run}: ")
    assert parent_of_resumed(went_on, went_on, MIDDLE) == parent, "stopped and resumed, it stays what it is"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("seed_everything", 5, "--seed_everything 5 contradicts the checkpoint, trained with 0"),
        ("model.init_args.at", "stage2.1", "--model.at stage2.1 contradicts"),
        ("model.init_args.warmup_epochs", 1, "--model.warmup_epochs 1 contradicts"),
        ("data.init_args.seed", 7, "--data.seed 7 contradicts the checkpoint, trained with null"),
    ],
)
def test_another_network_data_or_draw_is_refused(path, value, said):
    with pytest.raises(ValueError, match=said):
        parent_of_resumed(SAVED, changed(path, value), BORDER)


@pytest.mark.parametrize(
    ("path", "value", "was"),
    [
        ("trainer.accumulate_grad_batches", 2, "1"),
        ("trainer.limit_train_batches", 3, "null"),
        ("data.init_args.batch_size", 32, "64"),
    ],
)
def test_an_epoch_goes_on_as_it_began(path, value, was):
    option = path.replace(".init_args", "")
    with pytest.raises(ValueError, match=rf"middle of an epoch, where {option} can't change: it was {was}"):
        parent_of_resumed(SAVED, changed(path, value), MIDDLE)
    assert parent_of_resumed(SAVED, changed(path, value), BORDER)["changed"].keys() == {option}


def test_an_option_that_came_later_counts_where_it_is_set(monkeypatch):
    monkeypatch.setitem(ADDED, "Task", {"sharpness": 1.0})
    assert changes(SAVED, changed("model.init_args.sharpness", 1.0)) == {}
    assert changes(SAVED, changed("model.init_args.freeze", None)) == {}
    for path, value in (("sharpness", 2.0), ("freeze", ["layer*"])):
        with pytest.raises(ValueError, match=rf"--model\.{path} .* contradicts the checkpoint, trained with null"):
            parent_of_resumed(SAVED, changed(f"model.init_args.{path}", value), BORDER)


def test_two_names_of_one_precision_are_the_same():
    old, new = (changed("trainer.precision", name) for name in ("bf16", "bf16-mixed"))
    assert changes(old, new) == {}


def test_what_went_on_is_compared_with_a_baseline_that_went_on():
    bare = copy.deepcopy(SAVED)
    del bare["model"]["init_args"]["block"], bare["model"]["init_args"]["at"]
    went_on = []
    for config in (SAVED, bare):
        now = changed("trainer.max_epochs", 6, config)
        went_on.append({**now, "parent": parent_of_resumed(config, now, BORDER)})
    block, baseline = map(identity, went_on)
    assert block.baseline == baseline.experiment == baseline.baseline
    assert block.baseline not in (
        identity(changed("trainer.max_epochs", 6, bare)).experiment,
        identity(bare).experiment,
    )


def test_seeds_of_what_went_on_belong_together():
    went_on = []
    for seed in (0, 1):
        config = changed("seed_everything", seed)
        now = changed("trainer.max_epochs", 6, config)
        went_on.append(identity({**now, "parent": parent_of_resumed(config, now, BORDER)}))
    assert went_on[0].experiment == went_on[1].experiment
    assert went_on[0].run != went_on[1].run


def test_its_name_says_what_it_comes_from():
    now = changed("trainer.max_epochs", 6)
    both = [canonical(now), canonical({**now, "parent": parent_of_resumed(SAVED, now, BORDER)})]
    assert differences(both) == ["", f'parent="{identity(SAVED).experiment} at step 20"']


@pytest.mark.parametrize("said", [7, {}, {"experiment": "../x", "baseline": "0" * 12, "run": "0" * 12, "step": 1}])
def test_a_malformed_parent_is_refused(said):
    with pytest.raises(ValueError, match="config: parent is"):
        identity({**SAVED, "parent": said})


def test_every_option_has_a_verdict():
    verdicts = {name: on_resume(f"trainer.{name}") for name in inspect.signature(Trainer).parameters}
    ignored = {path.removeprefix("trainer.") for path in IGNORED if path.startswith("trainer.")}
    assert {name for name, verdict in verdicts.items() if verdict == "the same run"} == ignored & verdicts.keys()
    assert verdicts["max_epochs"] == on_resume("data.batch_size") == "a new experiment"
    assert {on_resume(option) for option in ("seed_everything", "model.at", "data.size")} == {"refused"}


class Views:
    evaluation_options = ("crops",)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("trainer.max_epochs", 5, "--trainer.max_epochs 5 contradicts last.ckpt, trained with 4"),
        ("model.init_args.at", "stage1.0", "contradicts last.ckpt"),
        ("data.init_args.batch_size", 32, "--data.batch_size 32 contradicts last.ckpt, trained with 64"),
        ("trainer.limit_test_batches", 2, ""),
        ("trainer.devices", 2, ""),
        ("data.init_args.crops", 3, ""),
    ],
)
def test_a_test_of_a_folder_s_checkpoint_is_of_what_was_trained_there(path, value, said, monkeypatch):
    """A record says what the options are: under others it would be one of another experiment."""
    monkeypatch.setattr(resuming, "read_checkpoint", lambda _: SAVED)
    resuming.of_this_run("test", SAVED, Path("last.ckpt"), None, Views())
    with pytest.raises(ValueError, match=re.escape(said)) if said else nullcontext():
        resuming.of_this_run("test", changed(path, value), Path("last.ckpt"), None, Views())


def test_options_of_one_of_several_sets_are_what_they_are_of_a_single_one():
    assert on_resume("data.sets.digits.root") == on_resume("data.root") == "the same run"
    assert on_resume("data.sets.digits.variant") == on_resume("data.variant") == "refused"
