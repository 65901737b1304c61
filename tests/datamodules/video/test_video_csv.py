"""Lists of videos as Kinetics has them: odd ids, labels and times, rows whose video has vanished."""

import pytest

from blockyard.composing.config_files import read_config
from blockyard.datamodules import DataError, VideoCSV

TRAIN = [  # label, id, start, end
    ("skiing crosscountry", "-abc_defgh0", "3", "13"),
    ("skiing crosscountry", "-abc_defgh0", "20.0", "30.0"),
    ("skiing crosscountry", "AAAAAAAAAA1", "0", "10"),
    ("skiing (not slalom or crosscountry)", "BBBBBBBBBB1", "0", "10"),
    ("skiing (not slalom or crosscountry)", "BBBBBBBBBB2", "0", "10"),
    ("massaging person's head", "CC_CCCC-CC1", "100", "110"),
    ("massaging person's head", "CC_CCCC-CC2", "100", "110"),
]
VAL = [("massaging person's head", "DDDDDDDDDD1", "1", "11"), ("skiing crosscountry", "vanished000", "1", "11")]


def write_list(path, rows):
    path.parent.mkdir(exist_ok=True)
    lines = [f'"{label}",{name},{start},{end},train' for label, name, start, end in rows]
    path.write_text("\n".join(["label,youtube_id,time_start,time_end,split", *lines]) + "\n")


@pytest.fixture
def root(tmp_path, write_video):
    write_list(tmp_path / "annotations" / "train.csv", TRAIN)
    write_list(tmp_path / "annotations" / "val.csv", VAL)
    for label, name, start, end in (*TRAIN, VAL[0]):
        stem = f"{name}_{int(float(start)):06d}_{int(float(end)):06d}"
        write_video(tmp_path / "videos" / label.replace(" ", "_").replace("'", "") / f"{stem}.mp4", frames=6)
    return tmp_path


def kinetics(root, **options):
    return VideoCSV(root, **{"frames": 2, "size": 16, "batch_size": 2, "num_workers": 0, "clips": 1, **options})


def test_files_are_found_whatever_the_folders_are_called(root):
    data = kinetics(root, val_fraction=0)
    assert data.classes == ["massaging person's head", "skiing (not slalom or crosscountry)", "skiing crosscountry"]
    assert data.names("train")[:2] == ["-abc_defgh0_000003_000013", "-abc_defgh0_000020_000030"]
    assert data.split("train").targets.tolist() == [2, 2, 2, 1, 1, 0, 0]
    assert not list(data.check("train"))
    assert next(iter(data.train_dataloader()))["input"].shape == (2, 3, 2, 16, 16)


def test_validation_keeps_the_clips_of_one_id_together(root):
    data = kinetics(root, val_fraction=0.1)
    assert data.names("val") == ["AAAAAAAAAA1_000000_000010", "BBBBBBBBBB2_000000_000010", "CC_CCCC-CC2_000100_000110"]
    assert len(data.names("train")) == 4


def test_vanished_videos_are_counted(root):
    data = kinetics(root)
    with pytest.warns(UserWarning, match=r"1 of 2 listed videos are missing \(vanished000_000001_000011"):
        (batch,) = data.test_dataloader()
    assert batch["valid"].tolist() == [True, False]
    next(root.rglob("AAAAAAAAAA1*")).unlink()
    with pytest.warns(UserWarning, match="1 of 7 listed videos are missing .* training goes without"):
        assert len(kinetics(root, val_fraction=0).names("train")) == 6


def test_a_list_without_labels_is_predicted_and_not_tested_on(root, one_line):
    """Kinetics' own test list has none."""
    rows = ["youtube_id,time_start,time_end,split", "DDDDDDDDDD1,1.0,11.0,test", "-abc_defgh0,3,13,test"]
    (root / "annotations" / "test.csv").write_text("\n".join(rows))
    data = kinetics(root, test="annotations/test.csv")
    (batch,) = data.predict_dataloader()
    assert data.names("predict") == ["DDDDDDDDDD1_000001_000011", "-abc_defgh0_000003_000013"]
    assert batch["valid"].all()
    assert "target" not in batch
    with pytest.raises(DataError) as error:
        data.setup("test")
    one_line(error, root / "annotations" / "test.csv", "the header must name label")


def test_folders_may_be_named_as_any_copy_does(root):
    """Spaces or underscores, with apostrophes and brackets or without: the name of the file tells."""
    before = {part: kinetics(root).names(part) for part in ("train", "val")}
    for folder in sorted((root / "videos").iterdir()):
        folder.rename(folder.with_name(folder.name.replace("_", " ").replace("(", "").replace(")", "")))
    data = kinetics(root)
    assert {part: data.names(part) for part in ("train", "val")} == before
    assert not list(data.check("train"))


def test_the_shipped_configuration_reads_the_published_lists(root):
    options = read_config("action_recognition/kinetics400.yaml")["data"]["init_args"]
    assert {key: options[key] for key in ("train", "test")} == {
        "train": "annotations/train.csv",
        "test": "annotations/val.csv",
    }
    data = VideoCSV(**options | {"root": str(root), "batch_size": 1, "num_workers": 0, "val_fraction": 0.1})
    assert data.num_classes == 3
    assert data.input_shape == (3, 8, 224, 224)
    assert len(data.names("val")) == 3
    with pytest.warns(UserWarning, match="1 of 2 listed videos are missing .* counted as failures"):
        assert len(data.split("test")) == 2 * 10 * 3


def test_a_list_of_paths(root, write_video):
    for name in ("x", "y"):
        write_video(root / f"{name}.avi", frames=3)
    (root / "mine.csv").write_text("path,label\nx.avi,one\nY.avi,two\n")
    data = kinetics(root, train="mine.csv", val="mine.csv", test="mine.csv")
    assert data.names("train") == data.names("val") == data.names("test") == ["x.avi", "Y.avi"]
    assert not list(data.check("test"))


def test_what_is_wrong_is_told_in_one_line(root, one_line):
    with pytest.raises(DataError) as error:
        kinetics(root, train="none.csv").setup("fit")
    one_line(error, root / "none.csv", "label,youtube_id,time_start,time_end")
    (root / "headless.csv").write_text("a.avi,0\nb.avi,1\n")
    with pytest.raises(DataError) as error:
        kinetics(root, train="headless.csv").setup("fit")
    one_line(error, root / "headless.csv", "header")
    write_list(root / "annotations" / "val.csv", [("skiing crosscountry", "DDDDDDDDDD1", "one", "11")])
    with pytest.raises(DataError) as error:
        kinetics(root).setup("test")
    one_line(error, root / "annotations" / "val.csv", "row 2", "seconds")
    write_list(root / "annotations" / "val.csv", [("skiing croscountry", "DDDDDDDDDD1", "1", "11")])
    with pytest.raises(DataError) as error:
        kinetics(root).setup("test")
    one_line(error, "row 2", "did you mean skiing crosscountry")


def paths(tmp_path, *rows):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    return kinetics(tmp_path, val_fraction=0)


def test_labels_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    assert paths(tmp_path, *[f"{n}.mp4,{n}" for n in range(11)]).classes == [str(n) for n in range(11)]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (["a.mp4,x", "b.mp4,"], ("row 3", "label and path expected")),
        ([",x", "b.mp4,y"], ("row 2", "label and path expected")),
        (["a.mp4,x", "b.mp4,y", "a.mp4,y"], ("lines 2 and 4", "'x'", "'y'")),
        (["a.mp4,1.0", "b.mp4,1"], ("'1' and '1.0' are one number",)),
    ],
)
def test_labels_that_are_none_or_contradict_each_other(tmp_path, one_line, rows, parts):
    with pytest.raises(DataError) as error:
        paths(tmp_path, *rows).videos("train")
    one_line(error, "train.csv", *parts)
