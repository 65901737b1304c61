"""MSMT17 on small trees in the published layouts."""

import pytest

from blockyard.datamodules.reid.msmt17 import MSMT17
from blockyard.mistakes import DataError
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians

pytestmark = pytest.mark.filterwarnings("ignore:.*as published")


@pytest.fixture
def root(tmp_path):
    return write_tiny_pedestrians(tmp_path, "msmt17")


def msmt(root, **options):
    return MSMT17(root, **{"verify": False, "val_identities": 0, "num_workers": 0, **options})


@pytest.mark.parametrize(("version", "folder"), [("V1", "MSMT17_V1/test"), ("V2", "MSMT17_V2/mask_test_v2")])
def test_the_protocol(root, version, folder):
    test = msmt(root, version=version).split("test")
    assert test.protocol == f"msmt17-{version.lower()}"
    assert test.query.tolist() == list(range(4))
    assert test.gallery.tolist() == list(range(4, 16))
    assert test.identities[test.query].tolist() == [0, 1, 2, 3]
    assert test.cameras[test.query].tolist() == [0] * 4
    assert set(test.cameras[test.gallery].tolist()) == {6, 14}
    assert all(str(root / folder) in path for (path,) in test.sightings.frames)


def test_names_may_have_an_ending(root):
    assert any(name.endswith("_ex.jpg") for name in msmt(root).names("test"))


def test_equal_numbers_in_training_and_test_are_different_people(root):
    data = msmt(root)
    assert data.classes == ["0", "1", "2", "3"]
    assert 0 in data.split("test").identities, "which is no overlap"


def test_the_validation_list_is_trained_on_only_if_asked_for(root):
    assert len(msmt(root).split("train")) == 12
    combined = msmt(root, combine_val=True)
    assert len(combined.split("train")) == 16
    assert combined.num_classes == 4


def test_counts_must_be_the_published_ones(root, one_line):
    with pytest.raises(DataError) as error:
        msmt(root, verify=True).split("train")
    one_line(error, "16 pictures in list_train.txt and list_val.txt, not 32,621")
    with pytest.raises(DataError) as error:
        msmt(root, verify=True).split("test")
    one_line(error, "4 queries, not 11,659", "12 gallery pictures, not 82,161")


@pytest.mark.parametrize(
    "line",
    [
        "0000/0000_000_16_0303morning_0008_0.jpg 0",
        "0000/0000_000_01_0303evening_0008_0.jpg 0",
        "0000/0000_000_01_0303morning_0008_0.jpg",
        "../0000/0000_000_01_0303morning_0008_0.jpg 0",
        "/0000/0000_000_01_0303morning_0008_0.jpg 0",
    ],
)
def test_a_malformed_line_is_refused(root, one_line, line):
    file = root / "MSMT17_V2/list_query.txt"
    file.write_text(f"\n{line}\n")
    with pytest.raises(DataError) as error:
        msmt(root).split("test")
    one_line(error, file, "line 2", line, "expected")


def test_a_parent_folder_with_underscores_changes_nothing(root):
    """Readers that split the whole path would take the camera from the wrong place."""
    folder = root / "MSMT17_V2"
    (folder / "mask_test_v2").rename(folder / "inner")
    (folder / "mask_test_v2").mkdir()
    (folder / "inner").rename(folder / "mask_test_v2" / "a_b_07_c")
    for kind in ("query", "gallery"):
        lines = (folder / f"list_{kind}.txt").read_text().split("\n")
        (folder / f"list_{kind}.txt").write_text("\n".join(f"a_b_07_c/{line}" if line else "" for line in lines))
    test = msmt(root).split("test")
    assert test.cameras[test.query].tolist() == [0] * 4


def test_listed_pictures_must_be_there(root, one_line):
    picture = next((root / "MSMT17_V2/mask_test_v2/0002").glob("*_15_*.jpg"))
    picture.unlink()
    with pytest.raises(DataError) as error:
        msmt(root).split("test")
    one_line(error, "list_gallery.txt: 1 of 12 listed pictures are missing", picture)


def test_a_missing_list_and_a_missing_version_are_named(root, tmp_path, one_line):
    (root / "MSMT17_V2/list_val.txt").unlink()
    with pytest.raises(DataError) as error:
        msmt(root).split("train")
    one_line(error, root / "MSMT17_V2/list_val.txt", "is missing")
    with pytest.raises(DataError) as error:
        msmt(tmp_path / "elsewhere", version="V1").split("train")
    one_line(error, tmp_path / "elsewhere/MSMT17_V1", "is missing")
    with pytest.raises(ValueError, match="no version 'V3'; allowed: V1, V2"):
        msmt(root, version="V3")
