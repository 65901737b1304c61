import shutil

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.folders import PassedOver
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.vocabulary import Vocabulary
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
        f"{root / 'images' / 'val'}: 1 passed over in search of pictures: 1 .txt (a.txt)",
        f"{root / 'masks' / 'val'}: 1 passed over in search of masks: 1 masks without a picture (b)",
    ]


def test_folders_by_split_hold_the_same(root):
    expected = folder(root).split("train").masks.paths
    for part in ("train", "test"):
        (root / part).mkdir()
        for kind in ("images", "masks"):
            (root / kind / part).rename(root / part / kind)
    (root / "images").rmdir()
    data = folder(root)
    assert [path.name for path in data.split("train").masks.paths] == [path.name for path in expected]
    assert data.names("test") == ["a.jpg", "b.jpg"]
    (root / "images" / "val").mkdir(parents=True)
    with pytest.raises(DataError, match="one of the two layouts, not a mixture"):
        folder(root).split("test")


@pytest.mark.parametrize("apart", [True, False])
def test_masks_may_have_a_suffix_also_beside_their_pictures(root, apart):
    for path in sorted((root / "masks").rglob("*.png")):
        target = path.with_name(f"{path.stem}_mask.png")
        path.rename(target if apart else root / "images" / target.relative_to(root / "masks"))
    if not apart:
        shutil.rmtree(root / "masks")
    data = folder(root, mask_suffix="_mask")
    assert data.names("test") == ["a.jpg", "b.jpg"]
    assert [path.name for path in data.split("test").masks.paths] == ["a_mask.png", "b_mask.png"]
    assert len(data.names("train")) + len(data.names("val")) == 4


def test_everything_may_lie_in_one_folder_a_split(root):
    for path in sorted((root / "masks" / "test").rglob("*.png")):
        path.rename(root / "images" / "test" / f"{path.stem}-m.png")
    (root / "images" / "test").rename(root / "test")
    (root / "images").rename(root / "away")
    assert folder(root, mask_suffix="-m").names("test") == ["a.jpg", "b.jpg"]


def test_a_wrong_suffix_names_the_right_one(root, one_line):
    for path in sorted((root / "masks" / "test").rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    for suffix in ("_maks", None):
        with pytest.raises(DataError) as error:
            folder(root, mask_suffix=suffix).split("test")
        one_line(error, "2 of 2 pictures have no mask", "--data.mask_suffix _mask would take a_mask")


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("masks/test/a.npy", "is an array of numpy's: save each as a grey PNG"),
        ("annotations/instances.json", "seems to be annotations as COCO's"),
        ("labels/test/a.txt", "seems to be polygons as YOLO's"),
    ],
)
def test_other_kinds_of_masks_say_what_to_make_of_them(root, one_line, file, part):
    for path in sorted((root / "masks" / "test").rglob("*.png")):
        path.unlink()
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).touch()
    with pytest.raises(DataError) as error:
        folder(root).split("test")
    one_line(error, root / "masks" / "test", root / file, part)


def paint(root, pixels):
    Image.fromarray(np.array(pixels, np.uint8)).save(root / "masks" / "test" / "a.png")


def test_colours_are_classes_by_a_table(root, one_line):
    (root / "table.txt").write_text("1 2 3 sky\n4,5,6\tRed Square\n\n0 0 0\n")
    data = folder(root, colours="table.txt")
    assert data.classes == ["sky", "Red Square"]
    assert data.palette == [(1, 2, 3), (4, 5, 6)]
    paint(root, [[(4, 5, 6), (1, 2, 3), (0, 0, 0)]])
    assert data.split("test").masks[0].tolist() == [[1, 0, 255]]
    paint(root, [[(4, 5, 6), (9, 9, 9), (9, 9, 9), (8, 8, 8)]])
    with pytest.raises(DataError) as error:
        data.split("test").masks[0]
    one_line(error, root / "masks/test/a.png", "(9, 9, 9) of 2 pixels, with 1 in other colours, is none of the 3")


def test_or_by_the_list_of_classes_if_each_has_one(root, one_line):
    paint(root, [[(70, 130, 180), (1, 1, 1)]])
    with pytest.raises(DataError) as error:
        folder(root).split("test").masks[0]
    one_line(error, "of mode RGB", "--data.colours FILE")
    (root / "classes.txt").write_text("sky #4682b4\nsea #010101\n")
    assert folder(root).split("test").masks[0].tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("r g b name\n", "line 1: '128 64 128 road' or the like expected, not 'r g b name'"),
        ("1 2 3 a\n1 2 3 b\n", "line 2: colour (1, 2, 3) is there twice"),
        ("1 2 3 a\n1 2 300 b\n", "line 2: '128 64 128 road'"),
        ("1 2 3 a\n", "found 1"),
    ],
)
def test_a_wrong_table_is_named(root, one_line, text, part):
    (root / "table.txt").write_text(text)
    with pytest.raises(DataError) as error:
        folder(root, colours="table.txt").split("test")
    one_line(error, root / "table.txt", part)


def test_colours_and_values_exclude_each_other(root):
    with pytest.raises(ValueError, match="colours=t names the classes"):
        folder(root, colours="t", values=[0, 255])


def test_a_value_that_is_none_is_named_with_its_pixels(root, one_line):
    save_mask(root / "masks" / "test" / "a.png", np.array([[0, 128, 7, 7]], np.uint8))
    with pytest.raises(DataError) as error:
        folder(root, class_names=["x", "y"], values=[0, 128]).split("test").masks[0]
    one_line(error, "a.png: value 7 is wrong, as are 2 of 4 pixels", "0, 128, 255 may occur", "--data.values")


def test_where_no_file_names_the_classes_those_of_the_checkpoint_are_taken(root):
    (root / "classes.txt").unlink()
    data = folder(root)
    assert not data.tells_classes
    data.trained = Vocabulary(3, ("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), {0: 0, 1: 1, 2: 2, 255: 255})
    assert data.classes == ["a", "b", "c"]
    assert data.palette[2] == (3, 3, 3)
    assert (data.split("test").masks[0] == 2).all()
    assert folder(root, class_names=["x", "y", "z"]).tells_classes


def test_masks_beside_new_pictures_are_not_predicted(root):
    for path in sorted((root / "masks" / "test").rglob("*.png")):
        path.rename(root / "images" / "test" / f"{path.stem}_mask.png")
    (root / "images" / "test" / "b.jpg").unlink()
    data = folder(root, mask_suffix="_mask", predict_folder=root / "images" / "test")
    assert data.names("predict") == ["a.jpg", "b_mask.png"], "what is nobody's mask is a picture"
