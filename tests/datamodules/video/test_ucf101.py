"""UCF-101 in its published layout, from a small data set with its quirks."""

import pickle
import re

import numpy as np
import pytest
import torch

from blockyard.datamodules import UCF101, DataError
from blockyard.datamodules.video.ucf101 import LISTS, VIDEOS
from blockyard.samples.tiny_videos import write_tiny_videos

CLASSES = ["Grow", "HandstandPushups", "MoveLeft"]
SMALL = {"frames": 4, "size": 16, "resize": 20, "batch_size": 4, "num_workers": 0, "seed": 0}
pytestmark = pytest.mark.filterwarnings("ignore:.*lists .* videos, not the published")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("ucf") / "data"
    return write_tiny_videos(root, classes=CLASSES, videos_per_class=30, size=(24, 32), frames=(6, 9))


@pytest.fixture
def root(tmp_path, written):
    """A copy, to be spoilt: the lists are files, the videos links."""
    (tmp_path / LISTS).mkdir()
    for file in (written / LISTS).iterdir():
        (tmp_path / LISTS / file.name).write_bytes(file.read_bytes())
    for folder in (written / VIDEOS).iterdir():
        (tmp_path / VIDEOS / folder.name).mkdir(parents=True)
        for file in folder.iterdir():
            (tmp_path / VIDEOS / folder.name / file.name).symlink_to(file)
    return tmp_path


def ucf(root, **options):
    return UCF101(root, verify=False, **{**SMALL, **options})


def groups(names):
    return {(name.split("/")[0], int(re.search(r"_g(\d\d)_c", name)[1])) for name in names}


def test_the_lists_are_those_of_the_publisher(root):
    """Windows line ends, an index from 1 in train lists only, one class spelled in two ways."""
    train = (root / LISTS / "trainlist01.txt").read_bytes()
    assert train.count(b"\r\n") == train.count(b"\n") > 0
    assert b"HandstandPushups/v_HandStandPushups_g08_c01.avi 2\r\n" in train
    assert b"MoveLeft/v_MoveLeft_g01_c01.avi\r\n" in (root / LISTS / "testlist01.txt").read_bytes()


def test_labels_start_at_zero_in_the_order_of_the_class_list(root):
    (root / LISTS / "classInd.txt").write_bytes(b"1 MoveLeft\r\n2 HandstandPushups\r\n3 Grow\r\n\r\n")
    for number in (1, 2, 3):
        path = root / LISTS / f"trainlist0{number}.txt"
        lines = [line.rsplit(" ")[0] for line in path.read_text().splitlines()]
        path.write_text("\r\n".join(f"{name} {['', 'M', 'H', 'G'].index(name[0])}" for name in lines))
    data = ucf(root)
    assert data.classes == ["MoveLeft", "HandstandPushups", "Grow"]
    for split in ("train", "val", "test"):
        for name, target in zip(data.names(split), data.split(split).targets, strict=True):
            assert name.startswith(data.classes[target])


@pytest.mark.parametrize("split", [1, 2, 3])
def test_no_group_is_in_two_splits(root, split):
    data = ucf(root, split=split)
    parts = [groups(data.names(name)) for name in ("train", "val", "test")]
    assert all(parts)
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert {group for _, group in parts[2]} == set(range(7 * split - 6, 7 * split + 1))
    total = sum(len(data.names(name)) for name in ("train", "val", "test"))
    assert total == 30 * len(CLASSES)
    # Of each class the last groups, as few as make up the share.
    for title in CLASSES:
        stay, held = ([name for name in data.names(part) if name.startswith(title)] for part in ("train", "val"))
        first_held = min(group for _, group in groups(held))
        assert first_held > max(group for _, group in groups(stay))
        without = [name for name in held if f"_g{first_held}_" not in name]
        assert len(without) < 0.15 * len(stay + held) <= len(held)


def test_without_validation_all_is_trained_on(root):
    data = ucf(root, val_fraction=0)
    assert data.names("val") == []
    assert data.val_dataloader() == []
    listed = (root / LISTS / "trainlist01.txt").read_text().split("\n")
    assert data.names("train") == [line.split(" ")[0] for line in listed if line]


def test_capitals_of_file_names_do_not_matter(root):
    for path in sorted((root / VIDEOS / "HandstandPushups").iterdir()):
        path.rename(path.with_name(path.name.replace("HandStand", "Handstand")))
    data = ucf(root)
    assert not list(data.check("test"))
    assert "HandstandPushups/v_HandStandPushups_g01_c01.avi" in data.names("test")


def test_batches(root):
    data = ucf(root, clips=2, crops=3)
    assert data.input_shape == (3, 4, 16, 16)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (4, 3, 4, 16, 16)
    assert batch["input"].dtype == torch.float32
    assert batch["valid"].all()
    assert not batch["replaced"].any()
    tests = list(data.test_dataloader())
    index = torch.cat([batch["index"] for batch in tests])
    assert index.tolist() == list(range(6 * len(data.names("test"))))
    targets = torch.cat([batch["target"] for batch in tests])
    assert torch.equal(targets, torch.from_numpy(data.split("test").targets).repeat_interleave(6))
    predictions = next(iter(data.predict_dataloader()))
    assert torch.equal(predictions["input"], tests[0]["input"])
    assert "target" not in predictions


def test_missing_videos(root, one_line):
    """Training goes without them and a test knows of them; with the published data, nothing may be missing."""
    for name in ("g08", "g01"):
        (root / VIDEOS / "Grow" / f"v_Grow_{name}_c01.avi").unlink()
    data = ucf(root)
    with pytest.warns(UserWarning, match=r"1 of \d+ listed videos are missing \(Grow/v_Grow_g08_c01.avi") as warned:
        assert "Grow/v_Grow_g08_c01.avi" not in data.names("train")
    assert len([w for w in warned if "are missing" in str(w.message)]) == 1
    with pytest.warns(UserWarning, match="1 of .* missing"):
        position = data.names("test").index("Grow/v_Grow_g01_c01.avi")
    assert not data.split("test")[10 * position]["valid"]
    (message,) = [problem for _, problem in data.check("test")]
    assert "no such file" in message


def test_the_published_data_is_recognised_by_its_counts(root, one_line):
    with pytest.raises(DataError) as error:
        UCF101(root).setup("fit")
    one_line(error, root / LISTS / "classInd.txt", "3 classes, not 101", "verify=False")
    with pytest.warns(UserWarning, match="not the published 9537"):
        ucf(root).split("train")
    assert sum(sum(counts.values()) for counts in UCF101.published.values()) == 3 * 13_320


def test_what_is_missing_is_told_in_one_line(tmp_path, root, one_line):
    with pytest.raises(DataError) as error:
        UCF101(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / LISTS, "RecognitionTask.zip", "https://www.crcv.ucf.edu/data/UCF101.php")
    (tmp_path / "nowhere").mkdir()
    archive = tmp_path / "nowhere" / "UCF101TrainTestSplits-RecognitionTask.zip"
    archive.write_bytes(b"half of it")
    with pytest.raises(DataError) as error:
        UCF101(tmp_path / "nowhere").setup("fit")
    one_line(error, archive, "is not the published archive", "sha256")
    (root / LISTS / "testlist01.txt").unlink()
    with pytest.raises(DataError) as error:
        ucf(root).setup("test")
    one_line(error, root / LISTS / "testlist01.txt", "missing")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("MoveLef/v_MoveLef_g01_c01.avi 3", ["line 1", "MoveLef", "did you mean MoveLeft"]),
        ("MoveLeft/v_MoveLeft_g01_c01.avi 2", ["line 1", "MoveLeft is 3, not 2"]),
    ],
)
def test_a_wrong_line_is_named(root, one_line, line, parts):
    path = root / LISTS / "trainlist01.txt"
    path.write_text(line + "\r\n")
    with pytest.raises(DataError) as error:
        ucf(root).setup("fit")
    one_line(error, path, *parts)


def test_prediction_reads_a_folder_or_one_file(root, tmp_path, write_video):
    path = write_video(tmp_path / "mine" / "deep" / "clip.mp4")
    for place, name in ((tmp_path / "mine", "deep/clip.mp4"), (path, "clip.mp4")):
        data = ucf(root, predict_path=place, clips=3)
        assert data.names("predict") == [name]
        (batch,) = data.predict_dataloader()
        assert batch["input"].shape == (3, 3, 4, 16, 16)


def test_options_are_plain_values(root):
    """Checkpoints must load with weights_only."""
    saved = dict(ucf(root, predict_path=root).hparams)
    assert saved["root"] == str(root)
    assert {"split", "val_fraction", "verify", "frames", "stride", "clips", "crops", "batch_size"} <= saved.keys()
    assert all(type(value) in (str, int, float, bool, tuple, type(None)) for value in saved.values())
    assert pickle.loads(pickle.dumps(saved)) == saved


@pytest.mark.parametrize(
    "options",
    [
        {"split": 4},
        {"val_fraction": 1},
        {"crops": 2},
        {"clips": 0},
        {"size": 99},
        {"jitter": 0.5},
        {"stride": 0},
    ],
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        UCF101("nowhere", **{"size": 16, "resize": 20, **options})


def test_every_epoch_draws_other_clips_and_every_worker_the_same(root):
    def epoch(number, workers):
        data = ucf(root, num_workers=workers)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        batches = list(loader)
        return torch.cat([b["index"] for b in batches]), torch.cat([b["input"] for b in batches])

    (index, first), (same_index, same) = epoch(0, 0), epoch(0, 2)
    assert torch.equal(index, same_index)
    assert torch.equal(first, same)
    other_index, other = epoch(1, 0)
    shared = np.intersect1d(index, other_index)
    places = [(int((index == i).nonzero()), int((other_index == i).nonzero())) for i in shared]
    assert any(not torch.equal(first[one], other[two]) for one, two in places)
