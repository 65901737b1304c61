"""What a killed process leaves is told from what others are writing, and removed."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from blockyard import files, unfinished

KILLED = """
import os, signal, sys
from pathlib import Path
from blockyard import files
files.save(Path(sys.argv[1]), lambda file: (file.write(b"half"), file.flush(), os.kill(os.getpid(), signal.SIGKILL)))
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def left(tmp_path):
    """A folder with what a process killed in the middle of writing ``page.html`` has left."""
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "page.html"], check=False)
    assert len(names(tmp_path)) == 1
    return tmp_path


def test_the_next_writer_removes_what_a_killed_one_left(left):
    files.write(left / "other.html", b"whole")
    assert names(left) == ["other.html"]


def test_folders_are_removed_with_what_is_in_them(left):
    (name,) = names(left)
    (left / name).unlink()
    (left / name / "train").mkdir(parents=True)
    unfinished.sweep(left)
    assert names(left) == []


def test_what_somebody_writes_at_this_moment_stays(tmp_path):
    mine, theirs = unfinished.beside(tmp_path / "a"), tmp_path / ".a.01234567-1-89abcdef.unfinished"
    users = [tmp_path / ".a.unfinished", tmp_path / "a.01234567-1-89abcdef.unfinished"]
    for path in (mine, theirs, *users):
        path.touch()
    unfinished.sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, theirs, *users}
    for path in (theirs, *users):  # of another machine, begun long ago
        os.utime(path, (0, time.time() - unfinished.OLD - 60))
    unfinished.sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, *users}


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    for letter in ("a", "ü", "語"):
        path = tmp_path / (letter * (255 // len(letter.encode())))
        files.write(path, b"whole")
        assert path.read_bytes() == b"whole"


def test_a_machine_that_cannot_be_asked_is_its_name(monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    assert unfinished.machine() == os.uname().nodename
