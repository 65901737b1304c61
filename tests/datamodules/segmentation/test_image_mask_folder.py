import numpy as np
import pytest

from blockyard.datamodules import DataError
from blockyard.datamodules.folders import PassedOver
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.samples.voc_layout import save_mask, save_picture


def write(root, part, names, value=0):
    for name in names:
        save_picture(root / "images" / part / f"{name}.jpg", np.zeros((9, 8, 3), np.uint8))
        save_mask(root / "masks" / part / f"{name}.png", np.full((9, 8), value, np.uint8))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "classes.txt").write_text("sky #4682b4\n\nRed Square 9\r\n  sea\n")
    write(tmp_path, "train", [f"deep/er/{number}" for number in range(4)])
    write(tmp_path, "test", ["b", "a"], value=2)
    return tmp_path


def folder(root, **options):
    return ImageMaskFolder(root, **{"size": (8, 8), "batch_size": 1, "num_workers": 0, **options})


def test_classes_and_colours_come_from_a_file(root):
    data = folder(root)
    assert data.classes == ["sky", "Red Square 9", "sea"]
    assert data.palette == [(70, 130, 180), (128, 0, 0), (0, 128, 0)], "Pascal VOC's colours where none is given"


def test_or_from_an_option(root):
    (root / "classes.txt").unlink()
    assert folder(root, class_names=["x", "y", "z"]).classes == ["x", "y", "z"]
    with pytest.raises(DataError, match=r"classes\.txt is missing"):
        folder(root).setup("fit")


def test_masks_are_found_by_name_whatever_the_suffix(root):
    data = folder(root)
    assert data.names("test") == ["a.jpg", "b.jpg"]
    assert [path.relative_to(root).as_posix() for path in data.split("test").masks.paths] == [
        "masks/test/a.png",
        "masks/test/b.png",
    ]
    assert all((batch["target"][0] == 2).all() for batch in data.test_dataloader())


def test_validation_is_its_folder_or_held_out(root):
    data = folder(root, val_fraction=0.25)
    assert data.names("val") == ["deep/er/3.jpg"]
    assert data.names("train") == [f"deep/er/{number}.jpg" for number in range(3)]
    write(root, "val", ["v"])
    data = folder(root, val_fraction=0.25)
    assert data.names("val") == ["v.jpg"]
    assert len(data.names("train")) == 4


def test_zero_can_mean_not_labelled(root):
    data = folder(root, reduce_zero_label=True)
    (batch,) = list(data.test_dataloader())[:1]
    assert (batch["target"][0] == 1).all()
    assert (data.split("train")[0]["target"] == 255).all()


def test_pictures_and_masks_must_pair(root, one_line):
    (root / "masks" / "test" / "b.png").unlink()
    with pytest.raises(DataError) as error:
        folder(root).setup("test")
    one_line(error, root / "masks" / "test", "1 of 2 pictures", "b.jpg")
    write(root, "test", ["b"])
    save_picture(root / "images" / "test" / "a.png", np.zeros((9, 8, 3), np.uint8))
    with pytest.raises(DataError) as error:
        folder(root).setup("test")
    one_line(error, root / "images" / "test", "two pictures a.*")


@pytest.mark.parametrize(("content", "part"), [("one\n", "found 1"), ("a\nb\na\n", "a is there twice")])
def test_a_wrong_list_of_classes_is_named(root, one_line, content, part):
    (root / "classes.txt").write_text(content)
    with pytest.raises(DataError) as error:
        folder(root).setup("fit")
    one_line(error, root / "classes.txt", part)


def test_missing_folders_are_named(root, tmp_path, one_line):
    with pytest.raises(DataError) as error:
        folder(root).setup("predict")
    one_line(error, root / "predict")
    with pytest.raises(DataError) as error:
        folder(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / "images" / "train")


def test_masks_without_a_picture_and_other_files_are_told(root):
    write(root, "val", ["a"])
    (root / "masks" / "val" / "b.png").write_bytes((root / "masks" / "val" / "a.png").read_bytes())
    (root / "images" / "val" / "a.txt").touch()
    with pytest.warns(PassedOver) as told:
        assert folder(root).names("val") == ["a.jpg"]
    assert [str(warning.message) for warning in told] == [
        f"{root / 'images' / 'val'}: 1 passed over in search of pictures: 1 .txt",
        f"{root / 'masks' / 'val'}: 1 passed over in search of masks: 1 masks without a picture (b)",
    ]
