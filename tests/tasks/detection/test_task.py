"""Detection from data to scores, pictures and tables."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.metrics import primary_of
from blockyard.tasks.detection.report import FoundBoxes
from blockyard.tasks.detection.scores import mean_precisions, picture_precision
from blockyard.tasks.detection.writer import BoxesCSV

SPEC = importlib.util.spec_from_file_location("few_boxes", Path(__file__).parents[1] / "few_boxes.py")
few = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return few.write(tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def tested(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    module, data = few.task(), few.data(root)
    (metrics,) = few.trainer(callbacks=[FoundBoxes(folder)]).test(module, data, verbose=False)
    return module, data, metrics, folder


def test_scores_are_those_of_what_is_found_in_each_file(tested):
    module, data, metrics, _ = tested
    split = data.split("test")
    found, true = [], []
    for index in range(5):
        batch = split.collate([{**split[index], "index": index}])
        with torch.no_grad():
            (one,) = module.eval().find(batch)
        found.append(one)
        true.append(batch["target"][0])
    assert metrics == pytest.approx({f"test/{name}": value for name, value in mean_precisions(found, true).items()})
    each = [picture_precision(*pair) for pair in zip(found, true, strict=True)]
    assert module.sample_scores["AP50"].tolist() == pytest.approx(each)
    assert (primary_of(module).is_fraction, primary_of(module).mode) == (True, "max")


def test_boxes_come_back_in_pixels_of_the_file(root):
    """What is found exactly where a box lies in the input is exactly the file's box, whatever the size of both."""
    module, split = few.task(), few.data(root, size=(96, 80)).split("test")
    batch = split.collate([{**split[index], "index": index} for index in range(5)])
    rows = []
    for target, (down, right) in zip(batch["target"], batch["factor"].tolist(), strict=True):
        scaled = target["boxes"] * torch.tensor([right, down, right, down])
        row = torch.cat([scaled, torch.full((len(scaled), 1), 0.9), target["labels"][:, None]], 1)
        rows.append(torch.nn.functional.pad(row, (0, 0, 0, 2 - len(row))))
    module.forward = lambda x: torch.stack(rows)
    found = module.find(batch)
    for one, target in zip(found, batch["target"], strict=True):
        torch.testing.assert_close(one["boxes"], target["boxes"])
    assert mean_precisions(found, batch["target"])["mAP"] == pytest.approx(1)


def test_learns(root):
    module, data = few.task(), few.data(root, photometric=False, scale=(1.0, 1.0), val_fraction=0)
    batch = next(iter(data.train_dataloader()))

    def loss():
        return sum(value.item() for value in module.train().network.losses(batch["input"], batch["target"]).values())

    before = loss()
    few.trainer(max_epochs=6, num_sanity_val_steps=0, log_every_n_steps=1, limit_val_batches=0).fit(module, data)
    assert loss() < 0.8 * before


def test_pictures_are_drawn(tested):
    picture = Image.open(tested[3] / "boxes.png")
    assert picture.size[0] > picture.size[1] > 400
    assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 100


def test_predictions_are_a_table(root, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("0.png", "1.png"):
        (tmp_path / "in" / name).write_bytes((root / "test" / name).read_bytes())
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    writer = BoxesCSV(tmp_path / "out")
    module, data = few.task(), few.data(root, predict_folder=str(tmp_path / "in"))
    rows = torch.tensor([[0.0, 12, 24, 36, 0.9, 1], [0, 0, 6, 12, 0.5, 0], [47, 47, 48, 48, 0.4, 0], [0] * 6])
    module.forward = lambda x: rows.expand(len(x), -1, -1)
    with pytest.warns(UserWarning, match=r"1 of 3 could not be read: broken\.png"):
        few.trainer(callbacks=[writer]).predict(module, data, return_predictions=False)
    rows = list(csv.DictReader((tmp_path / "out" / "boxes.csv").open()))
    assert list(rows[0]) == ["file", "class", "score", "left", "top", "right", "bottom"]
    # what lies in the padding alone is no object of the file
    assert [(row["file"], row["class"]) for row in rows] == [
        (f"{k}.png", name) for k in (0, 1) for name in ("bar", "square")
    ]
    corners = [float(rows[0][side]) for side in ("left", "top", "right", "bottom")]
    assert corners == pytest.approx([0, 12 / 0.85, 28, 40], abs=0.01)  # 40 rows are 34 of the input, 56 columns 48
    assert f"4 rows in {tmp_path / 'out' / 'boxes.csv'}" in capsys.readouterr().out


@pytest.mark.parametrize("pictures", few.CASES)
def test_two_processes_score_as_one(found_by_two, pictures):
    alone, *together = (result[str(pictures)] for result in found_by_two)
    for other in together:
        assert other == alone
    assert len(alone["scores"]["AP50"]) == pictures
    assert 0 < alone["tested"]["test/mAP"] < 1


@pytest.fixture(scope="module")
def found_by_two(one_and_two_processes):
    return one_and_two_processes("few_boxes.py")
