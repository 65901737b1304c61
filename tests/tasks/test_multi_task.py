"""One trunk for several tasks: each is what it would be alone, on a network that they share."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from blockyard.backbones import Isotropic
from blockyard.blocks import ExpertAttention, ExpertMLP, SqueezeExcitation
from blockyard.blocks.mixers.experts import for_task
from blockyard.blocks.mixers.routing import mutual_information, routed
from blockyard.cli import main
from blockyard.datamodules import Digits, MultiData
from blockyard.leaderboard.identity import identity
from blockyard.tasks import ImageClassification, MultiTask

EXPERTS = {"experts": 4, "top_k": 2, "tasks": 2}
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def digits() -> MultiData:
    sets = {"first": Digits("8x8", batch_size=20, seed=0), "second": Digits("8x8", batch_size=10, seed=1)}
    return MultiData(sets, seed=0, num_workers=0)


def made(data: MultiData | None = None, **options) -> MultiTask:
    torch.manual_seed(0)
    options.setdefault("channel_mixers", partial(ExpertMLP, **EXPERTS))
    backbone = partial(
        Isotropic,
        depths=[1, 1],
        width=16,
        mixers=options.pop("mixers", partial(ExpertAttention, head_width=4, **EXPERTS)),
        channel_mixers=options.pop("channel_mixers"),
        patch=4,
        input_size=8,
    )
    optimizer = partial(torch.optim.Adam, lr=0.005)
    return MultiTask(backbone, (data or digits()).members, (1, 8, 8), optimizer=optimizer, **options)


def batch() -> dict[str, dict[str, torch.Tensor]]:
    return next(iter(digits().train_dataloader()))


def test_the_trunk_is_one_and_heads_are_each_tasks_own():
    task = made()
    first, second = (task.tasks[name].network for name in ("first", "second"))
    assert first.layer2 is second.layer2 is task.network.layer2
    assert first.positions is second.positions is task.network.positions
    assert first.fc is not second.fc
    of_heads = sum(p.numel() for one in (first, second) for part in (one.neck, one.fc) for p in part.parameters())
    of_trunk = sum(p.numel() for p in task.network.parameters())
    optimizer = task.optimizer(task.parameter_groups.of(task.named_parameters()))
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == of_heads + of_trunk


def test_the_loss_is_the_weighted_sum_less_the_mutual_information():
    task, came = made(weights={"second": 3.0}, balance=0.5), batch()
    loss, logged = task.objective.loss(task, came)
    shares, losses = [], []
    for number, name in enumerate(("first", "second")):
        with routed(task.network, number) as of_task:
            losses.append(task.tasks[name].training_loss(came[name]["input"], came[name]["target"]))
        shares.append(of_task)
    known = [mutual_information(torch.stack(of_router)) for of_router in zip(*shares, strict=True)]
    assert len(known) == 4, "two units with a mixture of heads and one of MLPs each"
    torch.testing.assert_close(loss, losses[0] + 3 * losses[1] - 0.5 * sum(known) / 4)
    assert logged.keys() == {"first/loss", "second/loss", "mutual_information"}
    assert 0 <= logged["mutual_information"] <= math.log(2)


def test_a_task_moves_neither_the_head_nor_the_routers_of_another():
    task, came = made(), batch()
    with routed(task.network, 1):
        task.tasks["second"].objective.loss(task.tasks["second"], came["second"])[0].backward()
    assert task.tasks["first"].network.fc.weight.grad is None
    for module in task.network.modules():
        if isinstance(module, ExpertMLP | ExpertAttention):
            assert not module.router.weight.grad[0].any()
            assert module.router.weight.grad[1].any()


def test_it_learns_and_a_test_says_of_each_task_what_that_says_alone():
    data, task = digits(), made(balance=0.1)
    trainer = Trainer(max_epochs=1, limit_train_batches=30, log_every_n_steps=1, **QUIET)
    trainer.validate(task, data, verbose=False)
    before = dict(trainer.callback_metrics)
    trainer.fit(task, data)
    after = dict(trainer.callback_metrics)
    assert after["val/first/loss"] < before["val/first/loss"]
    mean = (after["val/first/top1"] + after["val/second/top1"]) / 2
    assert after["val/mean_score"] == pytest.approx(float(mean))
    trainer.test(task, data, verbose=False)
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert all(module.router.used.any(1).all() for module in task.network.modules() if isinstance(module, ExpertMLP))

    network = task.tasks["second"].network
    for_task(network, 1)
    single = ImageClassification(
        lambda classes, channels: network, 10, (1, 8, 8), optimizer=partial(torch.optim.SGD, lr=0.1)
    )
    (alone,) = Trainer(**QUIET).test(single, data.sets["second"], verbose=False)
    expected = {name.replace("test/", "test/second/"): value for name, value in alone.items()}
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert torch.equal(task.tasks["second"].sample_scores["top1"], single.sample_scores["top1"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weights": {"frist": 1.0}}, "weights: 'frist' is none of the sets; did you mean first"),
        ({"weights": {"first": -1.0}}, "weights: first: -1 is below 0"),
        ({"balance": -0.5}, "balance=-0.5 is below 0"),
        ({"least_use": 5.0}, "least_use=5: needed is a share of positions, from 0 to 1"),
        (
            {"balance": 0.1, "channel_mixers": SqueezeExcitation, "mixers": SqueezeExcitation},
            "balance=0.1: there is no mixture of experts",
        ),
        ({"task_options": {"first": {"label_smothing": 1}}}, "label_smothing is no option .* mean label_smoo"),
        ({"task_options": {"first": {"warmup_epochs": 1}}}, "warmup_epochs is for all tasks together: --model.warmup_"),
        ({"task_options": {"first": {"num_classes": 1}}}, "first: num_classes is no option of ImageClassification"),
        ({"task_options": {"first": {"loss": {"class_path": "X"}}}}, "plain values are allowed here, .* such as X"),
        ({"task_options": {"first": {"class_weights": 3}}}, "task_options: first: ImageClassification: .*"),
        ({"task_options": {"first": {"label_smoothing": 3}}}, "task_options: first: ImageClassification: .*smoothing"),
        ({"channel_mixers": ExpertMLP}, "routers for tasks=1: set its tasks to 2"),
        ({"objective": torch.nn.Identity()}, "MultiTask minimises its tasks' own losses"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        made(**options)


@pytest.mark.parametrize("name", ["training", "items"])
def test_a_set_is_not_called_what_a_part_of_a_network_cannot_be(name):
    data = digits()
    data.sets[name] = data.sets.pop("second")
    with pytest.raises(ValueError, match=f"'{name}' is what torch calls something else"):
        made(data)


def test_experts_are_dropped_where_one_task_is_left():
    with pytest.raises(ValueError, match=r"least_use drops experts of one task: --data\.only says which, first or sec"):
        Trainer(**QUIET).test(made(least_use=0.1), digits(), verbose=False)


CONFIG = {
    "model": {
        "class_path": "MultiTask",
        "init_args": {
            "backbone": {
                "class_path": "Isotropic",
                "init_args": {
                    **{"depths": [1], "width": 8, "patch": 2, "input_size": 8},
                    "mixers": {"class_path": "ExpertAttention", "init_args": {"head_width": 4, **EXPERTS}},
                    "channel_mixers": {"class_path": "ExpertMLP", "init_args": EXPERTS},
                },
            },
            "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.1}},
        },
    },
    "data": {
        "class_path": "MultiData",
        "init_args": {
            "num_workers": 0,
            "sets": {
                name: {"class_path": "Digits", "init_args": {"variant": "8x8", "batch_size": size}}
                for name, size in (("first", 20), ("second", 10))
            },
        },
    },
    "trainer": {"max_epochs": 1, "limit_train_batches": 4, "enable_progress_bar": False},
}


def test_the_command_line_trains_tests_and_records_each_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("two.yaml").write_text(yaml.safe_dump(CONFIG))
    assert main(["fit", "--config", "two.yaml"]) == 0
    (best,) = Path("runs").glob("*/checkpoints/best.ckpt")
    assert main(["test", "--ckpt_path", str(best)]) == 0
    records = [json.loads(path.read_text()) for path in Path("runs/records").glob("*.json")]
    assert {record["config"]["together"]["task"] for record in records} == {"first", "second"}
    assert all((record["task"], record["data"]) == ("ImageClassification", "Digits") for record in records)
    assert all(record["test_samples"] == 360 and record["complete"] for record in records)
    assert {record["backbone"].partition(", with ")[2] for record in records} == {"first", "second"}

    assert main(["test", "--ckpt_path", str(best), "--data.only", "first", "--model.least_use", "0.2"]) == 0
    others = {json.loads(path.read_text())["experiment"] for path in Path("runs/records").glob("*.json")}
    assert len(others) == 3, "without what it hardly used it is another network"
    assert main(["test", "--ckpt_path", str(best), "--data.only", "first"]) == 0
    assert len({path.stem.partition("-")[0] for path in Path("runs/records").glob("*.json")}) == 3, "the whole one's"
    one = str(next(Path("runs/records").glob("*.json")))
    assert main(["leaderboard", "verify", one, "--ckpt_path", str(best)]) == 2
    assert "of one of several tasks: blockyard test --data.only" in capsys.readouterr().err


def test_one_set_alone_is_for_tests_and_exports():
    data = digits()
    data.only = "first"
    with pytest.raises(ValueError, match="a training is of all sets"):
        made(data).setup("fit")


def test_where_the_data_of_a_set_lie_makes_no_other_experiment():
    def of(**options) -> str:
        sets = {"a": {"class_path": "ImageFolder", "init_args": {"size": 8, **options}}}
        data = {"class_path": "MultiData", "init_args": {"sets": sets}}
        return identity({"seed_everything": 0, "model": {"class_path": "MultiTask"}, "data": data}).experiment

    assert of(root="here", num_workers=1) == of(root="there", num_workers=2)
    assert of(batch_size=1) != of(batch_size=2)
