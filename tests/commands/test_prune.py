"""``blockyard prune`` end to end: what it writes is tested, predicted with and exported like any checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from blockyard.cli import main
from blockyard.commands.prune import CRITERIA
from blockyard.commands.prune_options import CRITERIA as NAMES
from blockyard.hub import from_checkpoint, save_pretrained

pytest.importorskip("torch_pruning")
FIT = (
    "fit --config image_classification/digits.yaml --model.backbone.depth 8 --trainer.max_epochs 1"
    " --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 --trainer.enable_progress_bar false"
    " --data.num_workers 0 --trainer.default_root_dir whole"
)
WHOLE = "whole/checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prune")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(FIT.split()) == 0
    return folder


def run(line: str) -> int:
    return main(f"{line} --data.num_workers 0".split())


def parameters(path: str) -> int:
    return sum(parameter.numel() for parameter in from_checkpoint(path).network.parameters())


def test_what_it_writes_is_a_checkpoint_of_a_run_of_its_own(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert run(f"prune --ckpt_path {WHOLE} --criterion Relevance --keep 0.5 --samples 16 --output half") == 0
    assert "81,978 parameters → " in capsys.readouterr().out
    part = "half/checkpoints/best.ckpt"
    assert parameters(part) <= 0.5 * parameters(WHOLE) == 40_989
    said = yaml.safe_load(Path("half/config.yaml").read_text())["model"]["init_args"]["pruned"]
    assert (said["criterion"], said["samples"]) == ("Relevance", 16)
    assert run(f"test --ckpt_path {part} --trainer.enable_progress_bar false") == 0
    (record,) = [json.loads(path.read_text()) for path in Path("runs/records").glob("*.json")]
    assert record["parameters"] == parameters(part)
    assert (record["checkpoint"], record["config"]["model"]["init_args"]["pruned"]) == ("best", said)
    saved = save_pretrained(from_checkpoint(part), folder / "hub")
    assert "pruned" in json.loads((saved / "config.json").read_text())["model"]["init_args"]
    assert run(f"prune --ckpt_path {WHOLE} --keep 0.5 --output half") == 2
    assert "is there already: --overwrite" in capsys.readouterr().err


def test_steps_with_training_between_and_a_second_pruning(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    options = "--keep 0.6 --measure macs --scope layer --steps 2 --epochs 1 --calibration 8 --output slow"
    few = "--trainer.enable_progress_bar false"
    monkeypatch.setattr("blockyard.commands.prune.train", shortly)
    assert run(f"prune --ckpt_path {WHOLE} {options} {few}") == 0
    assert run("prune --ckpt_path slow/checkpoints/best.ckpt --criterion L2 --keep 0.6 --output slower") == 0
    said = yaml.safe_load(Path("slower/config.yaml").read_text())["model"]["init_args"]["pruned"]
    assert (said["criterion"], said["after"]) == ("L2", "L1 to 60 % of macs, statistics anew")
    assert parameters("slower/checkpoints/best.ckpt") < 0.6 * parameters("slow/checkpoints/best.ckpt")
    costs = [torch.load(f"{name}/checkpoints/best.ckpt")["training_cost"]["steps"] for name in ("whole", "slow")]
    assert costs == [2, 8]


def shortly(cli, epochs, factor):
    """A training of three steps, which would be of a thousand."""
    from blockyard.commands.pruned_training import Cost

    cli.model.train()
    optimizer = torch.optim.SGD(cli.model.parameters(), lr=0.01 * factor)
    for _ in range(3):
        optimizer.zero_grad()
        cli.model.training_loss(torch.rand(4, 1, 28, 28), torch.arange(4)).backward()
        optimizer.step()
    return Cost(1.0, epochs, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--keep 1.5", "--keep 1.5 must be between 0 and 1"),
        ("--steps 0", "--steps 0 must be at least 1"),
        ("--keep 0.001", "can't be reached"),
        ("--criterion Tailor", "invalid choice: 'Tailor'; did you mean Taylor?"),
        ("--calibration -1", "--calibration -1 must be at least 0"),
        ("--model.prefix [0.5,1]", "leave --model.prefix away"),
    ],
)
def test_mistakes_are_one_line(folder, monkeypatch, capsys, options, said):
    monkeypatch.chdir(folder)
    assert run(f"prune --ckpt_path {WHOLE} {options}") == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error


def test_the_names_on_the_command_line_are_those_of_the_criteria():
    assert set(NAMES) == CRITERIA.keys()
