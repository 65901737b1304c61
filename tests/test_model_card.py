"""The README of a shared network: valid for the hub, true to the records, and its commands work."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.hub import _training, from_checkpoint, save_pretrained
from blockyard.leaderboard.bootstrap import bootstrap_mean
from blockyard.leaderboard.identity import identity
from blockyard.leaderboard.record import Record, described, write
from blockyard.leaderboard.scores import write_scores
from blockyard.leaderboard.statistics import estimate
from blockyard.model_card import UNKNOWN, evidence, model_card
from blockyard.portable import Card, Portable

CHECKPOINT = Path(__file__).parent / "checkpoints" / "digits-snl.ckpt"


@pytest.fixture(scope="module")
def config():
    prepare()
    return SuiteCLI(None, compose(["--ckpt_path", str(CHECKPOINT)], keep_trainer=False), needs_data=False).run_config


@pytest.fixture(scope="module")
def whole():
    return from_checkpoint(CHECKPOINT)


@pytest.fixture
def on_record(config, tmp_path):
    """``on_record(top1, seed=None, right=None)``: the record of the run, or of its experiment with another seed."""

    def make(top1, seed=None, right=None, folder=tmp_path / "records"):
        own = config if seed is None else {**config, "seed_everything": seed}
        facts = described(own)
        name, digest = (None, None) if right is None else write_scores({"top1": right}, folder, facts["run"])
        record = Record(
            **facts,
            metrics={"top1": top1, "loss": 0.5},
            primary="top1",
            higher_is_better=True,
            test_samples=100,
            scores=name,
            scores_sha256=digest,
            parameters=1,
            macs=1,
            throughput=1.0,
            throughput_batch=1,
            hardware="a machine",
            config=own,
            versions={},
            finished="2025-01-01T00:00:00+00:00",
        )
        write(record, folder)
        return folder

    return make


def header(text):
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def test_without_a_record_it_says_so_and_what_the_run_was(whole):
    text = model_card(whole.card, "net", evidence(whole.card, [Path("nowhere")]))
    assert UNKNOWN in text
    assert "| block | SpectralNonlocal @ stage2.1 |" in text
    assert "`Digits`" in text
    assert "Apache-2.0" in text
    assert "terms of their publisher" in text
    assert header(text) == {
        "library_name": "blockyard",
        "tags": ["blockyard", "pytorch"],
        "pipeline_tag": "image-classification",
    }


def test_of_one_seed_the_interval_is_over_samples_and_says_so(whole, on_record):
    right = np.array([1] * 80 + [0] * 20, dtype=np.uint8)
    folder = on_record(0.8, right=right)
    text = model_card(whole.card, "net", evidence(whole.card, [folder]))
    interval = bootstrap_mean(right)
    assert f"| top1 % | 80.00 | {100 * interval.low:.2f} … {100 * interval.high:.2f} |" in text
    assert "does not cover other seeds" in text
    assert "100 test samples" in text


def test_of_several_seeds_it_is_over_seeds_and_says_so(whole, on_record):
    values = [0.8, 0.82, 0.87]
    for seed, value in zip((None, 101, 102), values, strict=True):
        folder = on_record(value, seed)
    text = model_card(whole.card, "net", evidence(whole.card, [folder]))
    over = estimate(values)
    assert f"| top1 % | 80.00 | {100 * over.mean:.2f} ± {100 * over.half_width:.2f} |" in text
    assert "mean over 3 seeds ± half its 95 % interval" in text
    assert "not the choice of test samples" in text


def test_the_hub_reads_the_header(whole, on_record):
    text = model_card(whole.card, "net", evidence(whole.card, [on_record(0.8)]))
    (result, _) = ModelCard(text).data.eval_results
    assert (result.task_type, result.dataset_name) == ("image-classification", "Digits")
    assert (result.metric_type, result.metric_value) == ("top1", 0.8)


HOSTILE = "x: [1]\n---\n# | `a` <script> \u2028 'b'"


def test_text_from_outside_stays_text(on_record):
    model = {"class_path": "ImageClassification"}
    card = Card("ImageClassification", 1, (1, 8, 8), HOSTILE, model, (HOSTILE,), data="Digits", block=HOSTILE, run="r")
    text = model_card(card, "na'me: x", None)
    assert header(text)["library_name"] == "blockyard"
    lines = [line for line in text.splitlines() if line.startswith("| block")]
    assert lines[0].count("|") - lines[0].count("\\|") == 3
    assert "<script" not in re.sub(r"\\<", "", text)


def test_the_three_lines_that_load_it_work(whole, tmp_path, monkeypatch):
    save_pretrained(whole, tmp_path / "net", records=[])
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "net" / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) == 3
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["output"].shape == (1, 10)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(names["load_pretrained"]("net")(x), whole(x))


def resolved(*arguments):
    return SuiteCLI(None, compose(list(arguments), keep_trainer=False), needs_data=False).run_config


def test_the_command_that_makes_it_again_is_of_the_same_run(whole, tmp_path, monkeypatch):
    prepare()
    chosen = ["--model.block", "SpectralNonlocal", "--model.at", "stage2.1", "--data.num_workers", "0"]
    given = resolved("--config", "image_classification/digits.yaml", *chosen, "--seed_everything", "7")
    whole = Portable(whole.network, whole.card, _training(given))
    save_pretrained(whole, tmp_path / "net", records=[])
    monkeypatch.chdir(tmp_path / "net")
    (command,) = re.findall(r"```sh\nblockyard fit (.*?)  #", Path("README.md").read_text())
    assert command == "--config training.yaml --seed_everything 7"
    assert identity(resolved(*command.split())) == identity(given)


def test_paths_of_the_machine_stay_there(config, whole, tmp_path):
    save_pretrained(whole, tmp_path / "net", records=[])
    training = yaml.safe_load((tmp_path / "net" / "training.yaml").read_text())
    assert "root" not in training["data"]["init_args"]
    assert "default_root_dir" not in training["trainer"]
    assert training["seed_everything"] == config["seed_everything"]
