"""Tiny pedestrians: what readers need to be tested on."""

import pytest

from blockyard.samples.tiny_pedestrians import LAYOUTS, write_tiny_pedestrians


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*.[pjt][npx][gt]"))}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_seed_decides(tmp_path, layout):
    first, again = (content(write_tiny_pedestrians(tmp_path / name, layout, 4)) for name in ("first", "again"))
    assert first
    assert first == again
    assert first != content(write_tiny_pedestrians(tmp_path / "other", layout, 4, seed=1))


def test_oddities_are_there(tmp_path):
    for layout in LAYOUTS:
        write_tiny_pedestrians(tmp_path, layout)
    names = {path.name for path in tmp_path.rglob("*")}
    assert {"-1_c1s1_000001_01.jpg", "0000_c6s2_000001_01.jpg", "Thumbs.db"} <= names
    assert any(name.endswith("_ex.jpg") for name in names)
    assert {"00-1", "0000", "train-test people splits", "person_0201"} <= names
    assert "person003" not in names
    assert b"\r\n" in (tmp_path / "mars/info/train_name.txt").read_bytes()


def test_options_out_of_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no layout marz; did you mean mars"):
        write_tiny_pedestrians(tmp_path, "marz")
    with pytest.raises(ValueError, match="people must be an even number from 4 to 100, got 5"):
        write_tiny_pedestrians(tmp_path, "mars", people=5)
