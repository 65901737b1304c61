"""People in folders of the user's own."""

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules.folders import PassedOver
from blockyard.datamodules.reid.market1501 import Market1501
from blockyard.datamodules.reid.mars import MARS
from blockyard.mistakes import DataError


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 10, 3), grey, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Two pictures to look for and three to search; as tracklets, one and two."""
    for name in ("query/a/1.png", "query/a/2.png", "gallery/x/10.png", "gallery/x/9.png", "gallery/y/z/1.png"):
        save(tmp_path / name, 10 * len(name))
    save(tmp_path / "gallery/.trash/1.png", 0)
    (tmp_path / "gallery/notes.txt").write_text("not a picture")
    return {"query_folder": str(tmp_path / "query"), "gallery_folder": str(tmp_path / "gallery")}


def test_pictures_of_a_telephone_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.arange(16 * 32 * 3, dtype=np.uint8).reshape(16, 32, 3)
    for side in ("query", "gallery"):
        (tmp_path / side).mkdir()
        Image.fromarray(lying).save(tmp_path / side / "a.png", exif=exif)
    folders = {"query_folder": tmp_path / "query", "gallery_folder": tmp_path / "gallery"}
    data = Market1501(tmp_path, verify=False, size=(32, 16), num_workers=0, **folders)
    assert np.array_equal(data.split("predict").picture(0), np.rot90(lying, -1))


def test_pictures_need_no_labels_and_no_data_set(folders):
    data = Market1501(size=(16, 8), num_workers=0, **folders)
    split = data.split("predict")
    assert split.names == ["a/1.png", "a/2.png", "x/10.png", "x/9.png", "y/z/1.png"]
    assert split.query.tolist() == [0, 1]
    assert split.gallery.tolist() == [2, 3, 4]
    (batch,) = data.predict_dataloader()
    assert sorted(batch) == ["index", "input", "valid"]
    assert batch["input"].shape == (5, 3, 16, 8)


def test_nobody_is_taken_for_somebody_else_known(folders):
    """Filters by identity and camera then leave everything in the gallery."""
    split = Market1501(num_workers=0, **folders).split("predict")
    assert len(set(split.identities.tolist())) == 5


def test_a_sub_folder_is_a_tracklet_in_order_of_its_frames(folders):
    split = MARS(size=(16, 8), num_workers=0, frames=2, **folders).split("predict")
    assert split.names == ["a", "x", "y"]
    assert split.query.tolist() == [0]
    assert split.gallery.tolist() == [1, 2]
    assert [path.rpartition("/")[2] for path in split.sightings.frames[1]] == ["9.png", "10.png"]
    assert split[0]["input"].shape == (2, 16, 8, 3)


def test_both_folders_are_needed(folders, one_line):
    with pytest.raises(DataError) as error:
        Market1501(query_folder=folders["query_folder"]).split("predict")
    one_line(error, "query_folder", "gallery_folder")


@pytest.mark.parametrize(("kind", "what"), [(Market1501, "holds no picture"), (MARS, "holds no tracklet")])
def test_missing_and_empty_folders_are_named(folders, tmp_path, one_line, kind, what):
    with pytest.raises(DataError) as error:
        kind(**{**folders, "gallery_folder": str(tmp_path / "nowhere")}).split("predict")
    one_line(error, tmp_path / "nowhere", "is missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        kind(**{**folders, "query_folder": str(tmp_path / "empty")}).split("predict")
    one_line(error, tmp_path / "empty", what)


def test_an_empty_tracklet_is_named(folders, tmp_path, one_line):
    (tmp_path / "gallery/w").mkdir()
    with pytest.raises(DataError) as error:
        MARS(**folders).split("predict")
    one_line(error, tmp_path / "gallery/w", "holds no picture")


def test_what_is_passed_over_is_told(folders):
    kinds = r"1 \.txt \(notes\.txt\), 1 hidden \(\.trash\)"
    with pytest.warns(PassedOver, match=f"gallery: 2 passed over in search of pictures: {kinds}"):
        assert len(Market1501(num_workers=0, **folders).split("predict").names) == 5
    with pytest.warns(PassedOver, match=r"gallery: 2 .* of tracklets: 1 \.txt beside the tracklets \(notes\.txt\), 1"):
        assert len(MARS(num_workers=0, frames=2, **folders).split("predict").names) == 3
