"""A fingerprint tells data apart by what they are, and not by where they lie or how they are read."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.cli import main
from blockyard.datamodules import CIFAR10, CIFAR100, Digits, ImageFolder
from blockyard.datamodules.fingerprints import fingerprint
from blockyard.leaderboard.data_sets import PUBLISHED
from blockyard.samples.cifar_like import write_cifar_like

NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=4)
SPLITS = ("train", "val", "test")


@given(st.lists(st.lists(NAME, max_size=3), max_size=3), st.lists(st.lists(NAME, max_size=3), max_size=3))
def test_other_columns_of_text_have_another_fingerprint(one, two):
    assert (fingerprint(one) == fingerprint(two)) == (one == two)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64])
def test_numbers_count_by_their_value_and_not_by_their_type(kind):
    assert fingerprint([np.array([1, 2], dtype=kind)]) == fingerprint([np.array([1, 2])])


def test_shape_and_order_count():
    table = np.arange(6)
    found = {fingerprint([array]) for array in (table, table[::-1], table.reshape(2, 3), table.reshape(3, 2))}
    assert len(found) == 4


@pytest.fixture
def pictures(tmp_path, write_pictures):
    return write_pictures(tmp_path / "one")


def fingerprints(root, **options):
    return ImageFolder(root=str(root), size=8, **options).fingerprints(*SPLITS)


def test_a_copy_elsewhere_is_the_same_data_however_it_is_read(pictures):
    shutil.copytree(pictures, pictures.parent / "two")
    assert fingerprints(pictures) == fingerprints(pictures.parent / "two", seed=7, num_workers=2, batch_size=1)


def test_a_name_is_no_part_of_it(pictures):
    assert fingerprints(pictures) == fingerprints(pictures, name="birds")


@pytest.mark.parametrize("split", SPLITS)
def test_one_sample_less_is_other_data_in_that_split_alone(pictures, split):
    before = fingerprints(pictures)
    next(path for path in sorted((pictures / split).rglob("*")) if path.is_file()).unlink()
    after = fingerprints(pictures)
    assert {name for name in before if before[name] != after[name]} == {split}


def test_another_name_of_a_class_is_other_data(pictures):
    before = fingerprints(pictures)
    for split in SPLITS:
        folder = min((pictures / split).iterdir())
        folder.rename(folder.with_name("aardvark"))
    after = fingerprints(pictures)
    assert all(before[name] != after[name] for name in ("classes", *SPLITS))


def test_contents_count_where_a_manifest_says_them(pictures, tmp_path, capsys):
    config = ["--data", "ImageFolder", f"--data.root={pictures}", "--data.size=8", "--data.num_workers=0"]
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    main(["check-data", *config, "--manifest", str(first)])
    names, before = fingerprints(pictures), fingerprints(pictures, checked=str(first))
    picture = next(path for path in sorted((pictures / "train").rglob("*")) if path.is_file())
    content = picture.read_bytes()
    picture.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])  # the same size
    main(["check-data", *config, "--manifest", str(second)])
    assert fingerprints(pictures) == names
    after = fingerprints(pictures, checked=str(second))
    assert {name for name in before if before[name] != after[name]} == {"train"}
    assert (names["of"], before["of"]) == ("names", "contents")
    picture.write_bytes(content + b"x")
    with pytest.raises(ValueError, match=f"bytes, not {len(content)}: its content has changed"):
        fingerprints(pictures, checked=str(first))


def test_a_manifest_of_other_data_is_refused(pictures, tmp_path, write_pictures, capsys):
    write_pictures(tmp_path / "other", samples=(5, 2, 2))
    config = ["--data", "ImageFolder", f"--data.root={pictures}", "--data.size=8", "--data.num_workers=0"]
    main(["check-data", *config, "--manifest", str(tmp_path / "m.csv")])
    with pytest.raises(ValueError, match=r"train cat/4.png is not in it"):
        fingerprints(tmp_path / "other", checked=str(tmp_path / "m.csv"))


def test_a_missing_test_split_is_left_out_and_a_missing_training_split_is_not(pictures):
    shutil.rmtree(pictures / "test")
    assert set(fingerprints(pictures)) == {"classes", "train", "val", "of"}
    shutil.rmtree(pictures / "train")
    with pytest.raises(ValueError, match="missing"):
        fingerprints(pictures)


@pytest.mark.parametrize("reader", [CIFAR10, CIFAR100])
def test_the_published_cifar_is_known_by_its_checksums(reader):
    known = fingerprint([[reader.md5[name] for name in reader.files["test"]], []])
    assert PUBLISHED[known] == reader.__name__


def test_another_cifar_is_not(tmp_path):
    write_cifar_like(tmp_path)
    data = CIFAR10(root=str(tmp_path), verify=False, val_size=10)
    with pytest.warns(UserWarning, match="not 1000 of each"):
        assert data.fingerprint("test") not in PUBLISHED


@pytest.mark.parametrize(("variant", "title"), [("28x28", "Digits"), ("8x8", "Digits 8×8")])
def test_packaged_digits_are_known_by_their_pixels(variant, title):
    assert PUBLISHED[Digits(variant=variant).fingerprint("test")] == title


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 61])
def test_a_name_is_one_line(name):
    with pytest.raises(ValueError, match="one line of 1 to 60 characters"):
        Digits(name=name)
