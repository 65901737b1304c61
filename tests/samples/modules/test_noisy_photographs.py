"""Noise has the deviation that is asked for, in the test the same in every run; its photograph is never learnt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blockyard.samples.modules.noisy_photographs import NoisyPhotographs
from blockyard.tasks import ImageClassification


def test_noise_has_the_deviation_that_is_asked_for():
    split = NoisyPhotographs(size=64, sigma=25).split("test")
    noise = torch.stack([split[i]["input"] - split[i]["target"] for i in range(20)])
    # 245,760 values: the deviation of their deviation is 0.14 %, their mean's 5e-5 per 255
    assert noise.std().item() * 255 == pytest.approx(25, rel=0.01)
    assert abs(noise.mean().item()) * 255 < 0.3


def test_the_tests_noise_is_that_of_the_position_and_training_draws_its_own():
    one, other = NoisyPhotographs(seed=0, size=16), NoisyPhotographs(seed=1, size=16)
    assert torch.equal(one.split("test")[3]["input"], other.split("test")[3]["input"])
    assert one.fingerprints("train", "val", "test") == other.fingerprints("train", "val", "test")
    batches = [next(iter(data.train_dataloader())) for data in (one, one, other)]
    assert torch.equal(batches[0]["input"], batches[1]["input"])
    assert not torch.equal(batches[0]["input"], batches[2]["input"])
    noise = batches[0]["input"] - batches[0]["target"]
    assert not torch.equal(noise[0], noise[1])


def test_fingerprints_tell_other_noise_and_other_parts():
    prints = [NoisyPhotographs(**options).fingerprint("test") for options in ({}, {"sigma": 15.0}, {"size": 32})]
    assert len(set(prints)) == 3
    assert "classes" not in NoisyPhotographs().fingerprints("test")


def test_the_tested_photograph_and_the_right_of_the_palace_are_not_trained_on():
    data = NoisyPhotographs(size=64)
    trained = data.split("train").sources
    for split in ("val", "test"):
        tile = data.split(split).tiles[0]
        for photograph in trained:
            windows = np.lib.stride_tricks.sliding_window_view(photograph, (8, 8, 3))[..., 0, :, :, :]
            assert not (windows == tile[:8, :8]).all((-3, -2, -1)).any()


@pytest.mark.parametrize("options", [{"size": 20}, {"size": 8}, {"sigma": 0}, {"sigma": 300}, {"samples": 0}])
def test_out_of_range(options):
    with pytest.raises(ValueError, match=r"^NoisyPhotographs: "):
        NoisyPhotographs(**options)


def test_a_task_that_learns_classes_is_refused_in_one_line(capsys):
    from blockyard.cli import main

    config = ["--config", "image_classification/digits.yaml", "--data", "NoisyPhotographs"]
    assert main(["fit", *config, "--model", ImageClassification.__name__]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.endswith("NoisyPhotographs has no classes, which ImageClassification learns: give it other data")
