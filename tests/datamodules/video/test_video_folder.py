"""Folders of videos."""

import pytest

from blockyard.datamodules import DataError, VideoFolder


@pytest.fixture
def root(tmp_path, write_video):
    for name in ("walk", "run"):
        for number, kind in enumerate(("avi", "mp4", "mkv", "MOV")):
            write_video(tmp_path / "train" / name / f"{number}.{kind}", frames=8, size=(32 + 16 * number, 64))
        write_video(tmp_path / "test" / name / "deep" / "a.avi", frames=3)
    return tmp_path


def folder(root, **options):
    return VideoFolder(root, **{"frames": 4, "size": 16, "batch_size": 2, "num_workers": 0, **options})


def test_videos_of_any_kind_and_size_become_one(root):
    data = folder(root, val_fraction=0.25)
    assert data.classes == ["run", "walk"]
    assert data.names("train") == [f"{name}/{n}" for name in data.classes for n in ("0.avi", "1.mp4", "2.mkv")]
    assert data.names("val") == ["run/3.MOV", "walk/3.MOV"]
    assert data.names("test") == ["run/deep/a.avi", "walk/deep/a.avi"]
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            assert batch["input"].shape[1:] == (3, 4, 16, 16)
            assert batch["valid"].all()


def test_a_val_folder_is_used_whole(root, write_video):
    for name in ("walk", "run"):
        write_video(root / "val" / name / "v.avi", frames=3)
    data = folder(root)
    assert data.names("val") == ["run/v.avi", "walk/v.avi"]
    assert len(data.names("train")) == 8


def test_other_files_are_passed_over(root):
    (root / "train" / "run" / "notes.txt").write_bytes(b"x")
    (root / "train" / "run" / "._0.avi").write_bytes(b"x")
    (root / "train" / ".cache").mkdir()
    assert len(folder(root, val_fraction=0.25).names("train")) == 6


def test_what_is_missing_is_told_in_one_line(root, tmp_path, one_line):
    with pytest.raises(DataError) as error:
        folder(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / "train", "missing")
    with pytest.raises(DataError) as error:
        folder(root).setup("predict")
    one_line(error, root / "predict", "missing")
    (root / "test" / "jump").mkdir()
    with pytest.raises(DataError) as error:
        folder(root).setup("test")
    one_line(error, root / "test", "jump (only in test)")
    (root / "train" / "jump").mkdir()
    with pytest.raises(DataError) as error:
        folder(root).setup("fit")
    one_line(error, root / "train" / "jump", "holds no video")
