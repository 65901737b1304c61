"""Pictures by lists, written as people write them."""

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError, ImageFolder, ImageList
from blockyard.datamodules.vocabulary import Vocabulary


@pytest.fixture
def root(tmp_path):
    """Eight pictures, in a folder with a blank in its name."""
    (tmp_path / "my pictures").mkdir()
    for number in range(8):
        Image.fromarray(np.full((9, 9, 3), 20 * number, np.uint8)).save(tmp_path / "my pictures" / f"{number}.png")
    (tmp_path / "train.txt").write_text("".join(f"my pictures/{n}.png {(2, 10)[n % 2]}\n" for n in range(8)))
    return tmp_path


def listed(root, **options):
    return ImageList(root, **{"size": 8, "batch_size": 2, "num_workers": 0, "val_fraction": 0.25, **options})


def test_classes_are_the_labels_in_the_order_of_numbers(root):
    data = listed(root)
    assert data.classes == ["2", "10"]
    assert data.names("train") == [f"my pictures/{n}.png" for n in range(6)]
    assert data.split("train").targets.tolist() == [0, 1] * 3
    assert data.names("val") == ["my pictures/6.png", "my pictures/7.png"], "the last of each class"
    assert int(data.split("train").images[2].max()) == 40


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("my pictures/1.png cat", "cat"),
        ("my pictures/1.png,cat", "cat"),
        ("my pictures/1.png , cat ", "cat"),
        ("my pictures/1.png\tcat", "cat"),
        ("my pictures/1.png\tgrey cat", "grey cat"),
    ],
)
def test_a_line_is_divided_at_its_last_separator(root, line, label):
    (root / "train.txt").write_text(f"\ufeff{line}\r\n\r\nmy pictures/2.png dog\r\n", encoding="utf-8")
    (root / "val.txt").write_text("my pictures/3.png dog\n")
    data = listed(root)
    assert data.names("train") == ["my pictures/1.png", "my pictures/2.png"]
    assert data.classes == sorted([label, "dog"])
    assert data.names("val") == ["my pictures/3.png"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("\n", "lists no picture"),
        ("1.png\n", "line 1: a path and a label expected"),
        ("my pictures/1.png 2\nnone.png 2\n", "1 of 2 listed pictures are missing"),
        ("my pictures/1.png 2\n\nmy pictures/1.png 10\n", "lines 1 and 3: one file under two labels"),
        ("my pictures/1.png 3\n", "line 1: '3' is no label of training; allowed: 10, 2"),
    ],
)
def test_a_wrong_list_is_named(root, one_line, text, part):
    (root / "test.txt").write_text(text)
    with pytest.raises(DataError) as error:
        listed(root).split("test")
    one_line(error, root / "test.txt", part)


def test_a_list_that_is_missing_is_named(root, one_line):
    with pytest.raises(DataError) as error:
        listed(root).split("test")
    one_line(error, root / "test.txt", "is missing")
    with pytest.raises(DataError) as error:
        listed(root, val="other.txt").split("val")
    one_line(error, root / "other.txt", "is missing")
    with pytest.raises(DataError) as error:
        ImageFolder(root).split("train")
    one_line(error, root / "train", "is missing", "image_classification/image_list.yaml reads")


def test_a_test_alone_takes_the_classes_of_the_checkpoint(root, one_line):
    (root / "train.txt").rename(root / "test.txt")
    data = listed(root)
    assert not data.tells_classes
    data.trained = Vocabulary(3, ("10", "2", "3"))
    with pytest.warns(UserWarning, match="2 of the checkpoint's 3 classes are tested, without 3"):
        assert data.split("test").targets.tolist() == [1, 0] * 4
    data = listed(root)
    data.trained = Vocabulary(2, ("2", "11"))
    with pytest.raises(DataError) as error:
        data.split("test")
    one_line(error, "10 is no class of the checkpoint")
