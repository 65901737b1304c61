"""What lies in folders: links, and what is passed over."""

import os
import warnings

import pytest

from blockyard.datamodules import DataError
from blockyard.datamodules.folders import LeftOut, PassedOver, folders_in, names_below, names_in


def is_note(name):
    return name.endswith(".txt")


def below(place):
    left = LeftOut()
    return names_below(place, is_note, left), left.names


@pytest.fixture
def place(tmp_path):
    """``cat/1.txt`` in one folder, ``2.txt`` in another, outside."""
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "1.txt").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.txt").touch()
    return tmp_path / "train"


def test_names_are_sorted_folder_by_folder(tmp_path):
    for name in ("b/1.txt", "a/z.txt", "a b/1.txt", "a.txt", "a-b/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert below(tmp_path)[0] == ["a/z.txt", "a b/1.txt", "a-b/1.txt", "a.txt", "b/1.txt"]


def test_linked_folders_and_files_are_followed_each_time(place):
    (place / "cat" / "more").symlink_to(place.parent / "elsewhere")
    (place / "dog").symlink_to("../elsewhere", target_is_directory=True)
    (place / "cat" / "3.txt").symlink_to(place.parent / "elsewhere" / "2.txt")
    assert below(place) == (["cat/1.txt", "cat/3.txt", "cat/more/2.txt", "dog/2.txt"], {})
    assert folders_in(place, LeftOut(), "") == ["cat", "dog"]
    (place.parent / "link").symlink_to(place)
    assert below(place.parent / "link") == below(place)


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_to_a_folder_that_it_lies_in_is_not_followed(place, target):
    (place / "cat" / "again").symlink_to(target)
    assert below(place) == (["cat/1.txt"], {"linked to a folder above": ["cat/again"]})


def test_two_links_to_each_other_s_folders_end(place):
    (place / "cat" / "there").symlink_to(place.parent / "elsewhere")
    (place.parent / "elsewhere" / "back").symlink_to(place / "cat")
    names, left = below(place)
    assert names == ["cat/1.txt", "cat/there/2.txt"]
    assert left == {"linked to a folder above": ["cat/there/back"]}


def test_a_link_back_to_where_a_linked_folder_really_lies(place):
    (place.parent / "elsewhere" / "up").symlink_to(place.parent / "elsewhere")
    (place / "dog").symlink_to(place.parent / "elsewhere")
    assert below(place / "dog") == (["2.txt"], {"linked to a folder above": ["up"]})


def test_links_that_lead_nowhere_are_named(place):
    for name in ("gone.txt", "gone", "gone.md"):
        (place / "cat" / name).symlink_to("nowhere")
    (place / "cat" / "itself").symlink_to("itself")
    names, left = below(place)
    assert names == ["cat/1.txt", "cat/gone.txt"]  # one that is asked for by name stays, to be missed when it is read
    assert left == {"broken links": ["cat/gone", "cat/gone.md", "cat/itself"]}


def test_what_is_passed_over_is_counted_by_suffix(place, one_line):
    for name in ("a.MD", "b.md", "Thumbs.db", "README", ".DS_Store", "c.x" + 20 * "y"):
        (place / "cat" / name).touch()
    (place / "cat" / ".cache").mkdir()
    (place / "cat" / ".cache" / "1.txt").touch()
    os.mkfifo(place / "cat" / "pipe.txt")  # reading it would wait for ever
    left = LeftOut()
    assert names_in(place / "cat", is_note, left) == ["1.txt"]
    assert str(left) == (
        "2 .md (a.MD, b.md), 2 hidden (.DS_Store, .cache), 2 without suffix (README, c.xyyyyyyyyyyyyyyyyyyyy), "
        "1 .db (Thumbs.db), 1 neither file nor folder (pipe.txt)"
    )


def test_files_beside_folders_and_folders_beside_files(place):
    (place / "1.txt").touch()
    left = LeftOut()
    assert folders_in(place, left, "the classes") == ["cat"]
    assert str(left) == "1 .txt beside the classes (1.txt)"
    left = LeftOut()
    assert names_in(place, is_note, left) == ["1.txt"]
    assert str(left) == "1 folders (cat)"


def test_of_many_kinds_the_most_frequent_are_named(tmp_path):
    left = LeftOut()
    for number in range(40):
        left.add_file(f"{number}.{number % 20}")
    told = ", ".join(f"2 .{kind} ({kind}.{kind}, {20 + kind}.{kind})" for kind in (0, 1, 10, 11, 12, 13))
    assert str(left) == f"{told}, 28 of other kinds"


def test_of_each_kind_the_first_are_named():
    left = LeftOut()
    for number in range(5):
        left.add_file(f"{number}.doc")
    assert str(left) == "5 .doc (0.doc, 1.doc, 2.doc, …)"


def test_it_is_told_once_and_not_at_all_if_there_is_nothing():
    left = LeftOut()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        left.tell("here", "note")
        assert not caught
        left.add_file("a.doc")
        left.tell("here", "note")
        left.tell("here", "note")
    assert [(str(told.message), told.category) for told in caught] == [
        ("here: 1 passed over in search of notes: 1 .doc (a.doc)", PassedOver)
    ]


def test_a_folder_that_can_not_be_read(tmp_path, one_line):
    with pytest.raises(DataError) as error:
        names_below(tmp_path / "gone", is_note, LeftOut())
    one_line(error, tmp_path / "gone", "can't be read")
