"""A norm that gets a single value is named, with the option to change, in every task."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim import SGD

from blockyard.backbones import PreResNet, TimmFeatures
from blockyard.cli import main
from blockyard.tasks import (
    ActionRecognition,
    AudioClassification,
    AudioTagging,
    ImageClassification,
    PersonReID,
    SemanticSegmentation,
)
from blockyard.tasks.base import Task

SGD_ = {"optimizer": partial(SGD, lr=0.1)}
SMALL = {"backbone": partial(PreResNet, depth=8, dropout=0.0), "num_classes": 3} | SGD_
VIDEO = SMALL | {"backbone": partial(PreResNet, depth=8, dropout=0.0, spatial_dims=3)}
SEGMENT = {"backbone": partial(TimmFeatures, name="resnet10t"), "num_classes": 3, "input_shape": (3, 64, 64)} | SGD_
ONE = (
    r"got \(1, \d+, 1, 1\), B first: in training, one value a channel has no variance; set data.batch_size to at least"
)
TASKS = {
    "images": (partial(ImageClassification, **SMALL), (3, 4, 4), ONE),
    "spectrograms": (partial(AudioClassification, **SMALL), (1, 4, 4), ONE),
    "tags": (partial(AudioTagging, **SMALL), (1, 4, 4), ONE),
    "clips": (
        partial(ActionRecognition, **VIDEO),
        (3, 1, 4, 4),
        r"^layer3.0.bn2 \(BatchNorm3d\) got \(1, 64, 1, 1, 1\)",
    ),
    "people": (
        partial(PersonReID, **SMALL, metric_loss=None),
        (3, 8, 8),
        r"^neck \(BatchNorm1d\) got \(1, 64\), B first",
    ),
    "PSP": (
        partial(SemanticSegmentation, **SEGMENT, decode_head={"type": "PSPHead"}),
        (3, 64, 64),
        r"^decode_head\.psp",
    ),
    "ASPP": (
        partial(SemanticSegmentation, **SEGMENT, decode_head={"type": "ASPPHead"}),
        (3, 64, 64),
        r"^decode_head\.image",
    ),
}


def batch_of_one(kind: type, shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    target = torch.zeros(1, dtype=torch.long)
    if kind is SemanticSegmentation:
        target = torch.zeros(1, *shape[1:], dtype=torch.long)
    return {"input": torch.randn(1, *shape), "target": torch.zeros(1, 3) if kind is AudioTagging else target}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_names_the_layer_and_the_option(name):
    make, shape, message = TASKS[name]
    module = make(**{"input_shape": shape}).train()
    module.log = module.log_dict = lambda *_, **__: None
    with pytest.raises(ValueError, match=message) as told:
        module.training_step(batch_of_one(make.func, shape), 0)
    assert "data.batch_size to at least 2" in str(told.value)
    assert "\n" not in str(told.value)
    assert (
        told.traceback[-1].frame.f_globals["__name__"] == "blockyard.tasks.single_values"
    )  # so the command line says it


def test_two_samples_are_enough_in_every_task():
    for make, shape, _ in TASKS.values():
        module = make(**{"input_shape": shape}).train()
        module.log = module.log_dict = lambda *_, **__: None
        two = {key: torch.cat([value, value]) for key, value in batch_of_one(make.func, shape).items()}
        assert module.training_step(two, 0).isfinite()


def test_a_compiled_network_names_it_too():
    module = ImageClassification(**SMALL, input_shape=(3, 4, 4), compile="eager").train()
    module.setup("fit")
    with pytest.raises(ValueError, match=r"^layer3\S+ \(BatchNorm2d\) got \(1, 64, 1, 1\)"):
        module.training_step(batch_of_one(ImageClassification, (3, 4, 4)), 0)


class Normed(Task):
    def training_step(self, batch, batch_idx):
        return self(batch).sum()

    validation_step = training_step


def attached(module, world, **options):
    module._trainer = SimpleNamespace(world_size=world, datamodule=SimpleNamespace(hparams=options))
    return module


@pytest.mark.parametrize(
    ("norm", "training", "message"),
    [
        (
            nn.BatchNorm2d(4),
            True,
            r"at least 4, two for each of 2 processes, or trainer\.sync_batchnorm, or, .* data\.size",
        ),
        (
            nn.InstanceNorm2d(4),
            True,
            r"^1 \(InstanceNorm2d\) got .*: a map of one position has no variance; set a larger data\.size",
        ),
        (nn.InstanceNorm2d(4), False, r"a map of one position has no variance; set a larger data\.size"),
        (
            nn.GroupNorm(4, 4),
            False,
            r"^1 \(GroupNorm\) got .*: a single value has no variance; set a larger data\.size",
        ),
    ],
)
def test_norms_of_other_kinds_and_other_processes(norm, training, message):
    module = attached(Normed(nn.Sequential(nn.Conv2d(3, 4, 2), norm), (3, 3, 3), **SGD_), 2, size=2).train(training)
    with pytest.raises(ValueError, match=message):
        module.training_step(torch.ones(1, 3, 2, 2), 0)
    with pytest.raises(ValueError, match=message):
        module.validation_step(torch.ones(1, 3, 2, 2), 0)


def test_other_errors_stay_what_they_are():
    module = Normed(nn.Conv2d(3, 4, 2), (3, 2, 2), **SGD_)
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        module.training_step(torch.ones(1, 5, 2, 2), 0)


def test_the_command_line_says_it_in_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = ["--config", "image_classification/digits.yaml", "--data.variant", "8x8", "--data.batch_size", "1"]
    network = ["--model.backbone", "TimmBackbone", "--model.backbone.name", "resnet10t"]
    assert main(["fit", *options, *network, "--trainer.fast_dev_run", "true"]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("blockyard:"))
    assert line.startswith("blockyard: layer2.0.bn1 (BatchNorm2d) got (1, 128, 1, 1)")
    assert "set data.batch_size to at least 2" in line
