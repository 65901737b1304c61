"""Series are scored by recording: by mean probabilities over windows, the same on any number of processes."""

from __future__ import annotations

import csv
import importlib.util
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from blockyard.backbones import LateFusion, PreResNet
from blockyard.blocks import SpectralNonlocal
from blockyard.cli import main
from blockyard.hub import from_checkpoint, load_pretrained, save_pretrained
from blockyard.plugging import Plug
from blockyard.tasks import SignalClassification
from blockyard.tasks.base import _plug_in
from blockyard.tasks.classification.signal import PICTURE

SPEC = importlib.util.spec_from_file_location("few_series", Path(__file__).parents[1] / "few_series.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return few.write(tmp_path_factory.mktemp("series") / "root", 3)


@torch.no_grad()
def test_a_recording_s_scores_are_those_of_its_mean_probabilities(root):
    data = few.data(root)
    module = few.task(data).eval()
    with pytest.warns(UserWarning, match=r"the test result lacks 1 of 9 recordings, .*: sit/1\.npy$"):
        (metrics,) = few.trainer().test(module, data, verbose=False)
    split, means, target = data.split("test"), [], []
    for position, name in enumerate(split.names):
        windows = torch.stack([split[item]["input"] for item in split.items_of(position)])
        if name != "sit/1.npy":
            means.append(module(windows).softmax(1).mean(0))
            target.append(few.CLASSES.index(name.split("/")[0]))
    mean, target = torch.stack(means), torch.tensor(target)
    assert metrics["test/missing_recordings"] == 1
    assert metrics["test/top1"] == pytest.approx((mean.argmax(1) == target).float().mean().item())
    assert metrics["test/loss"] == pytest.approx(nn.functional.nll_loss(mean.log(), target).item(), rel=1e-5)
    torch.testing.assert_close(module.outcomes["probability"], mean.amax(1))
    assert max(len(split.items_of(k)) for k in range(9)) > 3, "windows differ, or the average would prove nothing"


@pytest.mark.slow
def test_one_process_and_two_say_the_same(one_and_two_processes):
    alone, first, second = one_and_two_processes("few_series.py")
    assert first == second
    for tested in map(str, few.CASES):
        assert first[tested] == alone[tested]
    assert alone["3"]["missing"] == [4]
    assert len(alone["3"]["windows"]) > len(alone["3"]["predictions"]) == 1 + 9


def test_the_picture_of_a_series_has_a_row_a_channel():
    series = torch.stack([torch.linspace(-5, 5, 100), torch.zeros(100)])
    picture = SignalClassification.render(None, series)
    assert picture.shape == (1, PICTURE[1], PICTURE[0], 1)
    assert picture.dtype == np.uint8
    above, below = picture[0, : PICTURE[1] // 2 - 1, :, 0], picture[0, PICTURE[1] // 2 + 1 :, :, 0]
    assert (np.diff(above[0].astype(int)) >= 0).all()
    assert above.min() < 5
    assert above.max() > 250
    assert not below.any()


OPTIONS = [
    *("--config", "signal_classification/signal_folder.yaml", "--model.backbone.depth", "8"),
    *("--data.sample_rate", "10", "--data.window", "1.6", "--data.hop", "0.8", "--data.batch_size", "4"),
    *("--data.num_workers", "0", "--model.warmup_epochs", "0", "--trainer.max_epochs", "2"),
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
]


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    """A checkpoint, and where it was made."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["fit", *OPTIONS, "--data.root", str(root), "--trainer.default_root_dir", "run"]) == 0
    return place / "run" / "checkpoints" / "best.ckpt"


def test_a_test_writes_a_record_of_recordings(root, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained.parents[2])
    assert main(["test", "--ckpt_path", str(trained), "--data.root", str(root)]) == 0
    (record,) = (json.loads(path.read_text()) for path in Path("runs/records").glob("*.json"))
    assert (record["task"], record["test_samples"]) == ("SignalClassification", 8)
    assert record["metrics"]["missing_recordings"] == 1
    assert "missing_recordings" in capsys.readouterr().out


def test_prediction_needs_no_training_data(root, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    series = np.load(root / "test" / "walk" / "0.npy")
    np.save("a.npy", series)
    np.savez("b.npz", series=np.repeat(series, 2, 0)[:-1], rate=10)
    (Path("c.csv")).write_text("1,2\n3,\n")
    predict = ["predict", "--ckpt_path", str(trained), "--data.root", "gone", "--data.predict_folder", "."]
    assert main([*predict, "--trainer.default_root_dir", "out"]) == 0
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["a.npy", "b.npz", "c.csv"]
    assert rows["c.csv"]["class_1"] == ""
    network = from_checkpoint(trained, ["--data.root", "gone"])
    split = few.data(root, normalise=None).split("test")
    windows = torch.stack([split[item]["input"] for item in split.items_of(split.names.index("walk/0.npy"))])
    with torch.no_grad():
        expected = network(windows).softmax(1).mean(0).sort(descending=True)
    assert [rows["a.npy"][f"class_{k}"] for k in (1, 2, 3)] == [few.CLASSES[k] for k in expected.indices]
    assert float(rows["a.npy"]["probability_1"]) == pytest.approx(expected.values[0].item(), abs=1e-4)


def test_an_exported_network_normalises_by_itself_and_says_what_it_takes(trained, tmp_path):
    network = from_checkpoint(trained, ["--data.root", "gone"])
    card = network.card
    assert (card.input_shape, card.sample_rate, card.classes) == ((2, 16), 10, few.CLASSES)
    assert card.takes == "series of 0, 1 at 10 Hz, in the units of the files; the network normalises them itself"
    assert len(card.mean) == len(card.std) == 2
    again = load_pretrained(save_pretrained(network, tmp_path / "folder"))
    x = torch.randn(3, 2, 25, generator=torch.Generator().manual_seed(0))
    assert again.card == card
    assert torch.equal(again(x), network(x))


def test_a_network_of_another_rank_is_refused_in_one_line(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", *OPTIONS, "--data.root", str(root), "--model.backbone.spatial_dims", "2"]) == 2
    assert (
        "PreResNet is for samples (C, *S) with S of rank 2, and the data's are (2, 16): --model.backbone.spatial_dims 1"
        in capsys.readouterr().err.strip().splitlines()[-1]
    )


def test_the_rank_of_a_network_within_is_said_to_be_its_own():
    network, plugs = LateFusion(2, 2, partial(PreResNet, depth=8)), [Plug(SpectralNonlocal, "streams.0.layer1")]
    with pytest.raises(ValueError, match=r"^LateFusion is .* of rank 2, and the data's are \(2, 16\): spatial_dims=1$"):
        _plug_in(network, plugs, (2, 16))
