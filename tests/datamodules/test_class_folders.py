"""Files below folders, whatever they are of."""

import pytest

from blockyard.datamodules import DataError
from blockyard.datamodules.class_folders import labelled_files, training_classes
from blockyard.datamodules.folders import PassedOver
from blockyard.datamodules.listing import FileKind

NOTES = FileKind("note", frozenset({".txt", ".md"}), "*.txt (or .md)")


@pytest.fixture
def root(tmp_path):
    for name in ("train/b/2.txt", "train/b/10.txt", "train/a/deep/1.MD", "train/a/x.jpg", "train/a/.1.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "train" / "a" / ".cache").mkdir()
    (tmp_path / "train" / "a" / ".cache" / "1.txt").touch()
    return tmp_path


def test_hidden_files_and_folders_and_other_kinds_are_passed_over(root):
    found = NOTES.find(root)
    assert found.names == ["train/a/deep/1.MD", "train/b/10.txt", "train/b/2.txt"]
    assert [path.relative_to(root).as_posix() for path in found.paths] == found.names


def test_a_file_is_itself(root):
    found = NOTES.find(root / "train" / "b" / "2.txt")
    assert (found.names, found.paths) == (["2.txt"], [root / "train" / "b" / "2.txt"])


def test_labels_are_positions_in_the_sorted_classes(root):
    classes = training_classes(root, NOTES)
    assert classes == ["a", "b"]
    listing = labelled_files(root / "train", classes, NOTES)
    assert listing.names == ["a/deep/1.MD", "b/10.txt", "b/2.txt"]
    assert listing.targets.tolist() == [0, 1, 1]
    taken = listing.take(listing.targets.nonzero()[0])
    assert (taken.names, taken.targets.tolist()) == (["b/10.txt", "b/2.txt"], [1, 1])


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        ("nowhere", "nowhere is missing: it is where notes are read from"),
        (".", "holds no note; the kinds read are .md, .txt"),
    ],
)
def test_nothing_found(tmp_path, folder, part, one_line):
    with pytest.raises(DataError) as error:
        NOTES.find(tmp_path / folder)
    one_line(error, part)


def test_classes_of_a_split_must_be_those_of_training(root, one_line):
    classes = training_classes(root, NOTES)
    (root / "train").rename(root / "test")
    (root / "test" / "b").rename(root / "test" / "c")
    with pytest.raises(DataError) as error:
        labelled_files(root / "test", classes, NOTES)
    one_line(error, "its classes are not those of train: b (only in train), c (only in test)")
    with pytest.raises(DataError) as error:
        training_classes(root, NOTES)
    one_line(error, "train is missing: notes are expected in", "<class>/*.txt (or .md)")


def test_a_test_alone_may_lack_classes_and_have_no_others(root, one_line):
    (root / "train").rename(root / "test")
    with pytest.warns(UserWarning, match="2 of the checkpoint's 3 classes are tested, without aa") as told:
        listing = labelled_files(root / "test", ["a", "aa", "b"], NOTES, whole=False)
    assert len([warning for warning in told if "tested" in str(warning.message)]) == 1
    assert listing.targets.tolist() == [0, 2, 2]
    with pytest.raises(DataError) as error:
        labelled_files(root / "test", ["a", "bb"], NOTES, whole=False)
    one_line(error, root / "test", "b is no class of the checkpoint; did you mean bb?")


def test_what_a_split_passes_over_is_told_in_one_line(root):
    (root / "train" / "3.txt").touch()
    (root / "train" / "b" / "y.JPG").touch()
    with pytest.warns(PassedOver) as told:
        labelled_files(root / "train", training_classes(root, NOTES), NOTES)
    assert [str(warning.message) for warning in told] == [
        f"{root / 'train'}: 5 passed over in search of notes: "
        "2 .jpg (x.jpg, y.JPG), 2 hidden (.1.txt, .cache), 1 .txt beside the class folders (3.txt)"
    ]


def test_a_linked_split_and_linked_classes_are_read(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "set" / "deep").mkdir(parents=True)
    (elsewhere / "set" / "deep" / "9.txt").touch()
    (root / "train" / "c").symlink_to(elsewhere / "set")
    (root / "train" / "a" / "more").symlink_to(elsewhere / "set" / "deep")
    (elsewhere / "train").symlink_to(root / "train")
    classes = training_classes(elsewhere, NOTES)
    assert classes == ["a", "b", "c"]
    listing = labelled_files(elsewhere / "train", classes, NOTES)
    assert listing.names == ["a/deep/1.MD", "a/more/9.txt", "b/10.txt", "b/2.txt", "c/deep/9.txt"]
    assert all(path.is_file() for path in listing.paths)


def test_folders_that_are_numbers_stay_in_the_order_of_text(tmp_path):
    """As in torchvision; the labels of published weights depend on it."""
    for name in ("0", "1", "2", "10"):
        (tmp_path / "train" / name).mkdir(parents=True)
    assert training_classes(tmp_path, NOTES) == ["0", "1", "10", "2"]
