"""HMDB-51 in its published layout: names that contain each other, codes 0, 1 and 2, odd characters."""

import pytest

from blockyard.datamodules import HMDB51, DataError
from blockyard.datamodules.video.hmdb51 import LISTS, VIDEOS

TAIL = "f_cm_np1_fr_med"
ROWS = {  # class -> (source, number, code)
    "climb": [("Film_(A)#1", 0, 1), ("Film_(A)#1", 1, 1), ("B&C", 0, 1), ("Test!", 0, 2), ("Unused", 0, 0)],
    "climb_stairs": [("climb_movie", 0, 1), ("Two", 0, 1), ("Two", 1, 1), ("Other", 0, 2), ("More", 0, 2)],
}
pytestmark = pytest.mark.filterwarnings("ignore:.*not the published")


@pytest.fixture
def root(tmp_path, write_video):
    (tmp_path / LISTS).mkdir()
    for title, rows in ROWS.items():
        lines = []
        for source, number, code in rows:
            name = f"{source}_{title}_{TAIL}_{number}.avi"
            lines.append(f"{name} {code} \n")
            write_video(tmp_path / VIDEOS / title / name, frames=6)
        (tmp_path / LISTS / f"{title}_test_split1.txt").write_text("".join(lines))
    (tmp_path / LISTS / "climb_test_split2.txt").write_text("")
    return tmp_path


def hmdb(root, **options):
    return HMDB51(root, verify=False, frames=2, size=16, batch_size=2, num_workers=0, **options)


def test_each_split_has_the_videos_of_its_code(root):
    data = hmdb(root, val_fraction=0)
    assert data.classes == ["climb", "climb_stairs"]
    assert data.names("test") == [
        f"climb/Test!_climb_{TAIL}_0.avi",
        f"climb_stairs/Other_climb_stairs_{TAIL}_0.avi",
        f"climb_stairs/More_climb_stairs_{TAIL}_0.avi",
    ]
    assert data.split("test").targets.tolist() == [0, 1, 1]
    assert len(data.names("train")) == 6
    assert not any("Unused" in name for split in ("train", "val", "test") for name in data.names(split))
    assert not list(data.check("train"))
    assert next(iter(data.train_dataloader()))["input"].shape == (2, 3, 2, 16, 16)


def test_validation_takes_whole_films(root):
    data = hmdb(root, val_fraction=0.1)
    assert data.names("val") == [f"climb/Film_(A)#1_climb_{TAIL}_{n}.avi" for n in (0, 1)] + [
        f"climb_stairs/climb_movie_climb_stairs_{TAIL}_0.avi"
    ]
    assert len(data.names("train")) == 3


def test_the_published_data_is_recognised_by_its_counts(root, one_line):
    with pytest.raises(DataError) as error:
        HMDB51(root).setup("fit")
    one_line(error, root / LISTS, "2 files", "not 51")
    with pytest.warns(UserWarning, match="lists 3 train videos, not the published 70"):
        hmdb(root).split("train")


def test_what_is_wrong_is_told_in_one_line(root, tmp_path, one_line):
    with pytest.raises(DataError) as error:
        HMDB51(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / LISTS, "test_train_splits.rar", "serre-lab")
    path = root / LISTS / "climb_test_split1.txt"
    path.write_text("a.avi 1\nb.avi 3\n")
    with pytest.raises(DataError) as error:
        hmdb(root).setup("fit")
    one_line(error, path, "line 2")
