"""Tables that people write."""

import pytest

from blockyard.datamodules import DataError
from blockyard.datamodules.tables import check_agreement, columns_of, read_rows, sorted_labels


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (["10", "9", "0", "2"], ["0", "2", "9", "10"]),
        (["-1", "+3", "2.5"], ["-1", "2.5", "+3"]),
        (["10", "9", "cat"], ["10", "9", "cat"]),
        (["b", "a", "b"], ["a", "b"]),
        (["1e5", "2"], ["1e5", "2"]),
        ([], []),
    ],
)
def test_labels_that_are_all_numbers_are_sorted_as_numbers(tmp_path, labels, ordered):
    assert sorted_labels(labels, tmp_path) == ordered


@pytest.mark.parametrize("pair", [("1", "01"), ("1.0", "1"), ("0", "-0")])
def test_one_number_spelt_in_two_ways_is_refused(tmp_path, pair, one_line):
    with pytest.raises(DataError) as error:
        sorted_labels([*pair, "7"], tmp_path / "list.csv")
    one_line(error, tmp_path / "list.csv", *map(repr, pair), "one number")


def test_a_byte_order_mark_and_quotes(tmp_path):
    file = tmp_path / "list.csv"
    file.write_bytes('\ufeffpath, label\r\n"a, b.wav", "x ""y"""\r\nc.wav,z\r\n'.encode())
    assert read_rows(file) == [{"path": "a, b.wav", "label": 'x "y"'}, {"path": "c.wav", "label": "z"}]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_separators_are_named(tmp_path, mark, one_line):
    (tmp_path / "list.csv").write_text(f"path{mark}label\na.wav{mark}x\n")
    with pytest.raises(DataError) as error:
        read_rows(tmp_path / "list.csv")
    one_line(error, tmp_path / "list.csv", repr(mark))


def test_other_encodings_are_named(tmp_path, one_line):
    (tmp_path / "list.csv").write_bytes("path,label\nä.wav,x\n".encode("latin-1"))
    with pytest.raises(DataError) as error:
        read_rows(tmp_path / "list.csv")
    one_line(error, tmp_path / "list.csv", "UTF-8")


def test_one_file_under_two_labels_is_refused(tmp_path, one_line):
    check_agreement(tmp_path, ["a", "b", "a"], ["x", "y", "x"])
    with pytest.raises(DataError) as error:
        check_agreement(tmp_path / "list.csv", ["a", "b", "a"], ["x", "y", "z"])
    one_line(error, tmp_path / "list.csv", "lines 2 and 4", "'x'", "'z'")


def test_the_columns_of_a_table_are_those_of_its_header(tmp_path):
    file = tmp_path / "table.csv"
    assert columns_of(file) == frozenset()
    file.write_text("\ufefffile,label\na,b,c\n", encoding="utf-8")
    assert columns_of(file) == {"file", "label"}
    file.write_bytes(b"\xff\xfe\x00")
    assert columns_of(file) == frozenset()
