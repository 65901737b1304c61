import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.segmentation.ade20k import ADE20K
from blockyard.samples.tiny_scenes import draw
from blockyard.samples.voc_layout import save_mask, save_picture

VALUES = (0, 1, 2, 75, 150)

pytestmark = pytest.mark.filterwarnings("ignore:.*not the published")


def write_tiny_ade(root):
    """``ADEChallengeData2016``: values 0, 1, 150 and others, a grey JPEG among the pictures."""
    folder = root / "ADEChallengeData2016"
    for offset, (part, prefix, count) in enumerate((("training", "train", 6), ("validation", "val", 3))):
        for number in range(1, count + 1):
            picture, mask = draw(1000 * offset + number, (40, 48), VALUES)
            name = f"ADE_{prefix}_{number:08d}"
            save_picture(folder / "images" / part / f"{name}.jpg", picture, "L" if number == 2 else "RGB")
            save_mask(folder / "annotations" / part / f"{name}.png", mask)
    return root


@pytest.fixture
def root(tmp_path):
    return write_tiny_ade(tmp_path)


def data_of(root, **options):
    return ADE20K(root, **{"verify": False, "size": (32, 32), "batch_size": 2, "num_workers": 0, **options})


def test_the_zero_label_is_reduced_exactly_once(root):
    data = data_of(root)
    seen = set()
    for number, path in enumerate(data.split("test").masks.paths):
        target = data.split("test")[number]["target"]
        values = np.asarray(Image.open(path)).astype(int)
        assert np.array_equal(target, np.where(values == 0, 255, values - 1))
        seen |= set(np.unique(target).tolist())
    assert {255, 0, 149} <= seen


def test_the_published_classes():
    data = data_of("nowhere")
    assert data.num_classes == len(data.palette) == len(set(data.classes)) == 150
    assert (data.classes[0], data.classes[12], data.classes[149]) == ("wall", "person", "flag")
    assert data.palette[0] == (120, 120, 120)
    assert all(name == name.strip() for name in data.classes)


def test_grey_pictures_become_rgb(root):
    assert Image.open(root / "ADEChallengeData2016/images/validation/ADE_val_00000002.jpg").mode == "L"
    assert data_of(root).split("test")[1]["input"].shape == (40, 48, 3)


def test_masks_of_the_full_data_set_are_refused(root, one_line):
    path = root / "ADEChallengeData2016" / "annotations" / "validation" / "ADE_val_00000001.png"
    save_mask(path, np.full((40, 48), 151, np.uint8))
    with pytest.raises(DataError) as error:
        list(data_of(root).test_dataloader())
    one_line(error, path, "value 151", "full ADE20K")
    save_picture(path, np.full((40, 48, 3), 30, np.uint8))
    with pytest.raises(DataError) as error:
        list(data_of(root).test_dataloader())
    one_line(error, path, "mode RGB", "full ADE20K")


def test_validation_is_held_out_from_the_training_pictures(root):
    data = data_of(root, val_fraction=1 / 3)
    assert data.names("val") == ["ADE_train_00000003.jpg", "ADE_train_00000006.jpg"]
    assert len(data.names("train")) == 4
    assert data.names("test") == data.names("predict") == [f"ADE_val_{number:08d}.jpg" for number in (1, 2, 3)]


def test_published_counts_are_required(root, one_line):
    with pytest.raises(DataError) as error:
        data_of(root, verify=True).setup("test")
    one_line(error, "3 pictures", "2000", "verify=False")


def test_what_is_missing_is_named_with_the_publishers_page(tmp_path, one_line):
    with pytest.raises(DataError) as error:
        data_of(tmp_path).setup("fit")
    one_line(error, tmp_path / "ADEChallengeData2016" / "images" / "training", "sceneparsing.csail.mit.edu")
    (tmp_path / "ADEChallengeData2016.zip").write_bytes(b"")
    with pytest.raises(DataError) as error:
        data_of(tmp_path).setup("fit")
    one_line(error, "unzip")
