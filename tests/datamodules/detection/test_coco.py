"""COCO's layout: what is read, and what is told of files that are faulty."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules import COCODetection, DataError


def write(root, change=lambda content: None, name="train", count=4):
    """Pictures of 40 by 60 pixels with a box each, the last a crowd's too."""
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for number in range(count):
        Image.fromarray(np.full((40, 60, 3), 40 * number, np.uint8)).save(root / name / f"{number}.png")
    images = [{"id": 7 + k, "file_name": f"{k}.png", "height": 40, "width": 60} for k in range(count)]
    rows = [{"id": k, "image_id": 7 + k, "category_id": 5 - 2 * (k % 2), "bbox": [10, 5, 20, 30]} for k in range(count)]
    rows.append({**rows[-1], "id": 99, "iscrowd": 1, "area": 12.5})
    kinds = [{"id": 5, "name": "cat"}, {"id": 3, "name": "dog"}]
    content = {"images": images, "annotations": rows, "categories": kinds}
    change(content)
    (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    return root


def data(root, **options):
    plain = {"size": (48, 48), "batch_size": 2, "num_workers": 0, "seed": 0, "val_fraction": 0.25}
    return COCODetection(str(root), **(plain | options))


def test_whole_pictures_are_fitted_and_their_boxes_are_those_of_the_file(tmp_path):
    write(tmp_path), write(tmp_path, name="test")
    module = data(tmp_path)
    assert module.classes == ["dog", "cat"]  # by their ids
    batch = next(iter(module.test_dataloader()))
    assert batch["input"].shape == (2, 3, 48, 48)
    assert batch["size"].tolist() == [[40, 60]] * 2
    torch.testing.assert_close(batch["factor"], torch.full((2, 2), 0.8))
    assert [one["labels"].tolist() for one in batch["target"]] == [[1], [0]]
    assert batch["target"][0]["boxes"].tolist() == [[10, 5, 30, 35]]
    assert batch["input"][:, :, 32:].abs().max() < 0.02  # padded with the mean colour
    last = list(module.test_dataloader())[-1]["target"][-1]
    assert (last["iscrowd"].tolist(), last["area"].tolist()) == ([0, 1], [600, 12.5])


def test_training_boxes_stay_on_their_objects(tmp_path):
    """White where the box is, black elsewhere: after every change the box bounds what is white."""
    write(tmp_path)
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[5:35, 10:30] = 255
    for number in range(4):
        Image.fromarray(picture).save(tmp_path / "train" / f"{number}.png")
    module = data(tmp_path, scale=(0.7, 1.4), photometric=False, mean=(0.0,) * 3, std=(1.0,) * 3, val_fraction=0)
    seen = [one for epoch in range(6) for one in epochs(module, epoch)]
    assert {len(target["labels"]) for _, target in seen} <= {0, 1}, "crowds are not learned from"
    for x, target in seen:
        for left, top, right, bottom in target["boxes"].tolist():
            rows, columns = (np.flatnonzero(np.asarray(x[0] > 0.5).any(axis)) for axis in (1, 0))
            found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert np.abs(np.array(found) - [left, top, right, bottom]).max() <= 1.5
    assert len({tuple(target["boxes"].flatten().tolist()) for _, target in seen}) > 12


def epochs(module, epoch):
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [pair for batch in loader for pair in zip(batch["input"], batch["target"], strict=True)]


def test_validation_is_held_out_or_a_set_of_its_own(tmp_path):
    write(tmp_path), write(tmp_path, name="other", count=3)
    held = data(tmp_path)
    assert (held.names("train"), held.names("val")) == (["0.png", "1.png", "2.png"], ["3.png"])
    own = data(tmp_path, val_set="other")
    assert (len(own.split("train")), len(own.split("val"))) == (4, 3)


def test_fingerprints_tell_boxes_apart(tmp_path):
    first, second, third = (tmp_path / name for name in "abc")
    write(first), write(second), write(third, lambda content: content["annotations"][0].update(bbox=[10, 5, 20, 29]))
    prints = [data(root).fingerprint("train") for root in (first, second, third)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bbox": [10, 5, 0, 30]}, r"annotation 0: the box from \(10, 5\) to \(10, 35\) is empty"),
        ({"bbox": [50, 10, 1e-6, 5]}, r"annotation 0: the box from \(50, 10\) to \(50, 15\) is empty: 0.001 pixels"),
        ({"bbox": [10, 5, 20, 60]}, r"reaches beyond its picture of 60×40 pixels"),
        ({"bbox": [10, 5, 20]}, "annotation 0: a box of four numbers expected, found"),
        ({"bbox": [10, 5, 20, "x"]}, "a box of four numbers expected"),
        ({"bbox": [10, 5, 20, float("nan")]}, "a box of four numbers expected"),
        ({"category_id": 55}, r"annotation 0: there is no category 55; did you mean 5\?"),
        ({"category_id": [5]}, r"there is no category \[5\]"),
        ({"image_id": 1}, "annotation 0: there is no image 1"),
        ({"bbox": [10, 5, 10**400, 30]}, "a box of four numbers expected"),
        ({"category_id": True}, "annotation 0: there is no category True"),
        ({"image_id": True}, "annotation 0: there is no image True"),
        ({"iscrowd": "0"}, r"train.json: annotation 0: iscrowd must be 0 or 1, got '0'"),
        ({"iscrowd": "no"}, "iscrowd must be 0 or 1, got 'no'"),
        ({"iscrowd": [0]}, r"iscrowd must be 0 or 1, got \[0\]"),
        ({"iscrowd": 2}, "iscrowd must be 0 or 1, got 2"),
        ({"iscrowd": None}, "iscrowd must be 0 or 1, got None"),
    ],
)
def test_faulty_boxes_are_told_in_one_line(tmp_path, change, said):
    write(tmp_path, lambda content: content["annotations"][0].update(change))
    with pytest.raises(DataError, match=said) as refused:
        data(tmp_path).split("train")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("width", [0, 1e-6])
def test_faulty_boxes_may_be_left_out(tmp_path, width):
    write(tmp_path, lambda content: content["annotations"][0].update(bbox=[50, 5, width, 30]))
    module = data(tmp_path, leave_out_faulty=True)
    with pytest.warns(UserWarning, match=r"1 of 5 boxes are left out; the first: .*is empty"):
        assert len(module.split("train").listing.boxes[0]) == 0
    assert sum(len(target["labels"]) for _, target in epochs(module, 0)) <= 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("categories"), "a list of objects called categories expected"),
        (lambda content: content["images"][0].update(file_name="../0.png"), "name of a file in the pictures' folder"),
        (lambda content: content["images"][0].update(file_name="."), "file in the pictures' folder expected, got '.'"),
        (lambda content: content["images"][0].update(file_name="a/"), "name of a file in the pictures' folder"),
        (lambda content: content["images"][0].update(file_name="/0.png"), "name of a file in the pictures' folder"),
        (lambda content: content["images"][0].update(file_name=[]), "name of a file in the pictures' folder"),
        (lambda content: content["images"][0].update(width=10**400), "image 7: width 10.*: a whole number of pixels"),
        (lambda content: content["images"][0].update(width=True), "image 7: width True: .* 9,999,999 at most, or none"),
        (lambda content: content["images"][0].update(height="40"), "image 7: height '40': a whole number of pixels"),
        (lambda content: content["images"][0].update(height=-1), "image 7: height -1: a whole number of pixels"),
        (lambda content: content["images"][0].update(file_name="9.png"), "1 of 4 listed pictures are missing"),
        (lambda content: content["images"][1].update(id=7), "image 7 is there twice"),
        (lambda content: content["images"][1].update(id="7"), "image: a whole number of 64 bits expected"),
        (lambda content: content["images"][1].update(id=True), "image: a whole number of 64 bits expected as its id"),
        (lambda content: content["categories"][1].update(id=2**63), "category: a whole number of 64 bits expected"),
        (lambda content: content["categories"][0].update(name="dog"), "category 3 needs an id and a name of its own"),
        (lambda content: content.update(annotations=[]), "train: none of 3 pictures has a box"),
    ],
)
def test_faulty_files_are_told_in_one_line(tmp_path, change, said):
    write(tmp_path, change)
    with pytest.raises(DataError, match=said) as refused:
        data(tmp_path).split("train")
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value) or "has a box" in said


@pytest.mark.parametrize(("crowd", "is_one"), [(0, False), (1, True), (False, False), (True, True)])
def test_a_crowd_is_a_number_or_a_truth_value(tmp_path, crowd, is_one):
    write(tmp_path, lambda content: content["annotations"][0].update(iscrowd=crowd))
    assert data(tmp_path).split("train").listing.boxes[0].crowd.tolist() == [is_one]


@pytest.mark.parametrize("size", [{"height": None}, {"width": 0}, {"height": 0, "width": 0}])
def test_a_size_may_be_unknown(tmp_path, size):
    write(tmp_path, lambda content: content["images"][0].update(size))
    split = data(tmp_path).split("train")
    assert split.listing.sizes[0] is None
    assert split.problem(0) is None


def test_a_picture_of_another_size_is_told(tmp_path):
    write(tmp_path), write(tmp_path, lambda content: content["images"][0].update(height=50), "test")
    split = data(tmp_path).split("test")
    assert "60×50 pixels are stated, but the picture has 60×40" in split.problem(0)
    assert split.problem(1) is None


def test_a_category_that_is_not_trained_on_is_told(tmp_path):
    write(tmp_path), write(tmp_path, lambda content: content["categories"][0].update(name="cats"), "test")
    with pytest.raises(DataError, match=r"category cats is not trained on; did you mean cat\?"):
        data(tmp_path).split("test")


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(DataError, match=r"instances_train\.json is missing"):
        data(tmp_path).split("train")
