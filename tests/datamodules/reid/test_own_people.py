"""Crops of people in folders and tables of the user's own: cameras or none, few people, who is held out."""

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules import DataError, PersonCSV, PersonFolder
from blockyard.retrieval import rank


def save(path, grey=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 4, 3), grey, np.uint8)).save(path)


def folder(root, **options):
    return PersonFolder(root, **{"size": (8, 4), "batch_size": 16, "num_workers": 0, **options})


def table(root, text, **options):
    (root / "people.csv").write_text(text)
    return PersonCSV(root, **{"size": (8, 4), "batch_size": 8, "num_workers": 0, **options})


def write(root, part, people, names):
    for person in people:
        for name in names:
            save(root / part / person / name, len(person))


@pytest.fixture
def cameras(tmp_path):
    """One picture a person and camera; two people in the test."""
    write(tmp_path, "train", [f"p{n}" for n in range(6)], ["left/1.png", "right/1.png"])
    write(tmp_path, "query", ["x", "y"], ["left/1.png"])
    write(tmp_path, "gallery", ["x", "y", "z"], ["left/2.png", "right/2.png"])
    return tmp_path


@pytest.fixture
def bare(tmp_path):
    """No camera is named; one of those tested on has one picture."""
    write(tmp_path, "train", [f"p{n}" for n in range(6)], ["1.png", "2.png"])
    write(tmp_path, "test", ["x", "y"], ["1.png", "2.png", "3.png"])
    write(tmp_path, "test", ["alone"], ["1.png"])
    return tmp_path


def ranked(split):
    """The ranking of vectors that are all alike."""
    ids, seen = torch.as_tensor(split.identities), torch.as_tensor(split.cameras)
    query, gallery = split.query, split.gallery
    vectors = torch.ones(len(ids), 3)
    return rank(vectors[query], vectors[gallery], ids[query], ids[gallery], seen[query], seen[gallery])


def test_sub_folders_are_cameras_and_query_is_searched_in_gallery(cameras):
    test = folder(cameras).split("test")
    assert [test.names[row] for row in test.query] == ["query/x/left/1.png", "query/y/left/1.png"]
    assert test.cameras[test.query].tolist() == [0, 0]
    assert test.cameras[test.gallery].tolist() == [0, 1] * 3
    assert ranked(test).valid.all()
    assert list(folder(cameras).remarks("test")) == []


def test_or_file_names_tell_them(tmp_path, one_line):
    write(tmp_path, "test", ["x", "y"], ["1_c3.png", "1_c10.png"])
    test = folder(tmp_path, camera="_c([0-9]+)").split("test")
    assert test.cameras.tolist() == [1, 0, 1, 0], "numbers in the order of numbers"
    save(tmp_path / "test" / "y" / "2.png")
    with pytest.raises(DataError) as error:
        folder(tmp_path, camera="_c([0-9]+)").split("test")
    one_line(error, "matches nothing in the name of", "y/2.png")
    with pytest.raises(ValueError, match="no regular expression"):
        folder(tmp_path, camera="(")


def test_with_one_picture_a_person_and_camera_everyone_held_out_can_be_found(cameras):
    data = folder(cameras)
    val = data.split("val")
    assert {val.names[row].split("/")[1] for row in val.query} == {"p4", "p5"}
    assert ranked(val).valid.all()
    assert len(ranked(val).valid) == 4
    (batch,) = data.train_dataloader()
    assert np.bincount(batch["target"]).tolist() == [4] * 4, "K = 4 of two pictures"


@pytest.mark.filterwarnings("ignore:.*camera")
def test_where_no_camera_is_named_all_other_pictures_are_searched(bare):
    data = folder(bare)
    test = data.split("test")
    assert [test.names[row] for row in test.query] == [f"test/{name}/{n}.png" for name in "xy" for n in (1, 2, 3)]
    assert len(test.gallery) == 7, "who has one picture is searched, not asked for"
    found = ranked(test)
    assert found.valid.all()
    assert all(row not in found.top[place] for place, row in enumerate(test.query)), "never the picture itself"
    assert test.seen_by(0) == ""
    assert ranked(data.split("val")).valid.all()
    assert ["no camera is named" in line for line in data.remarks("test")] == [True]


def test_tracklets_stand_in_for_cameras(tmp_path):
    lines = ["file,person,tracklet,split"]
    for person in "xy":
        for number in range(4):
            save(tmp_path / f"{person}{number}.png")
            lines.append(f"{person}{number}.png,{person},{number // 2},test")
    test = table(tmp_path, "\n".join(lines)).split("test")
    found = ranked(test)
    assert found.valid.all()
    assert (found.top >= 0).sum(1).tolist() == [6] * 4, "its own tracklet is removed: two pictures"


def test_what_was_held_out_is_said_with_the_option(cameras):
    with pytest.warns(UserWarning, match="val: 2 of 6 people are held out: p4, p5, by val_identities=null"):
        folder(cameras).setup("fit")
    assert list(folder(cameras, val_identities=0).remarks("val")) == []
    write(cameras, "val", ["v", "w"], ["left/1.png", "right/1.png"])
    data = folder(cameras)
    assert data.num_classes == 6
    assert set(data.split("val").names) == {f"val/{p}/{c}/1.png" for p in "vw" for c in ("left", "right")}


@pytest.mark.parametrize(
    ("people", "options", "part"),
    [
        (["p0"], {}, "p0 is the only person to train on"),
        (["p0", "p1", "p2"], {}, "2 of 3 training identities can't be held out for validation; val_identities=0"),
        (["p0", "p1", "p2", "p3", "p4"], {"val_identities": 4}, "two must stay (val_identities)"),
    ],
)
def test_too_few_people_are_refused_with_the_option(tmp_path, one_line, people, options, part):
    write(tmp_path, "train", people, ["1.png", "2.png"])
    with pytest.raises(DataError) as error:
        folder(tmp_path, **options).split("val")
    one_line(error, tmp_path, part) if len(people) == 1 else one_line(error, part)


def test_one_picture_a_person_leaves_nobody_to_hold_out(tmp_path, one_line):
    write(tmp_path, "train", [f"p{n}" for n in range(6)], ["1.png"])
    with pytest.raises(DataError) as error:
        folder(tmp_path).split("train")
    one_line(error, "0 of 6 training identities have two pictures", "val_identities=0 trains without it")
    assert len(folder(tmp_path, val_identities=0).split("train")) == 6


def test_what_can_not_be_a_test_is_refused(cameras, one_line):
    write(cameras, "test", ["t"], ["left/1.png"])
    with pytest.raises(DataError) as error:
        folder(cameras).split("test")
    one_line(error, "either query and gallery, or test")
    save(cameras / "gallery" / "x" / "3.png")
    with pytest.raises(DataError) as error:
        folder(cameras).split("test")
    one_line(error, "3.png lies beside the cameras' folders")
    (cameras / "gallery" / "x" / "3.png").unlink()
    (cameras / "test").rename(cameras / "other")
    write(cameras, "query", ["p1"], ["left/1.png"])
    with pytest.raises(DataError) as error:
        folder(cameras).split("test")
    one_line(error, "1 people are in training and in test, as p1")


def test_the_layout_of_market_1501_is_named(tmp_path, one_line):
    (tmp_path / "bounding_box_train").mkdir()
    with pytest.raises(DataError) as error:
        folder(tmp_path).split("train")
    one_line(error, "person_reid/market1501.yaml --data.verify false")


def test_a_test_alone_has_no_classes(bare):
    assert folder(bare).tells_classes
    (bare / "train").rename(bare / "away")
    assert not folder(bare).tells_classes
    assert len(folder(bare).split("test")) == 7


ROWS = "".join(f"{p}{c}.png,{p},{c}\n" for p in "abcdef" for c in "12")


@pytest.fixture
def listed(tmp_path):
    for line in ROWS.split():
        save(tmp_path / line.split(",")[0])
    return tmp_path


def test_without_a_split_people_are_held_out_for_the_test(listed):
    data = table(listed, f"file,person,camera\n{ROWS}")
    assert data.input_shape == (3, 8, 4)
    assert set(data.split("test").names) == {"e1.png", "e2.png", "f1.png", "f2.png"}
    assert set(data.split("val").names) == {"c1.png", "c2.png", "d1.png", "d2.png"}
    assert next(iter(data.remarks("test"))) == (
        "test: 2 of 6 people are held out: e, f, by test_identities=null, a tenth, at least two"
    )
    assert dict(data.hparams)["frames"] is None


def test_rows_of_a_tracklet_are_one_clip(listed):
    rows = [f"{p}{c}.png,{p},{c},t,{'train' if p < 'e' else 'test'}" for p in "abcdef" for c in "12"]
    rows.insert(1, "b1.png,a,1,t,train")
    text = "file,person,camera,tracklet,split\n" + "\n".join(row for row in rows if row != "b1.png,b,1,t,train")
    data = table(listed, text, frames=2, val_identities=0)
    assert data.input_shape == (3, 2, 8, 4)
    split = data.split("train")
    assert [path[-6:] for path in split.sightings.frames[0]] == ["a1.png", "b1.png"]
    assert split.names[0] == "a/1/t"
    assert split[0]["input"].shape == (2, 8, 4, 3)


@pytest.mark.parametrize(
    ("text", "options", "part"),
    [
        ("file,who\na1.png,a\n", {}, "must name file and person"),
        ("file,person,kamera\na1.png,a,1\n", {}, "no column kamera is known; did you mean camera"),
        ("file,person,split\na1.png,a,tset\n", {}, "line 2: no split 'tset'; did you mean test"),
        ("file,person,camera\na1.png,a,1\nb1.png,b,\n", {}, "line 3: no camera, which other rows have"),
        ("file,person\na1.png,a\n", {"frames": 4}, "line 2: no tracklet, which frames=4 takes"),
        ("file,person\na1.png,a\nnone.png,b\n", {}, "1 of 2 listed pictures are missing"),
        ("file,person\na1.png,a\na1.png,b\n", {}, "one file under two labels"),
    ],
)
def test_a_wrong_table_is_named(listed, one_line, text, options, part):
    with pytest.raises(DataError) as error:
        table(listed, text, **options).split("train")
    one_line(error, listed / "people.csv", part)
