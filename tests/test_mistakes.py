"""A disk that won't is a mistake of nobody's, and no bug: one line with the file, the reason and what to do."""

from __future__ import annotations

import errno
import importlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blockyard.cli import main
from blockyard.mistakes import DISK, mistake_in


@pytest.mark.parametrize("number", DISK)
def test_what_a_disk_says_is_one_line(number):
    error = OSError(number, os.strerror(number), "runs/a.json")
    error.add_note("the one before\nstays whole")
    assert str(mistake_in(error)) == f"runs/a.json: {os.strerror(number)}; the one before stays whole; {DISK[number]}"


def test_what_others_wrapped_around_it_is_taken_off():
    error = RuntimeError("saving failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "a")
    assert str(mistake_in(error)).startswith("a: No space left")


@pytest.mark.parametrize("error", [OSError("no number"), ConnectionResetError(errno.ECONNRESET, "reset"), KeyError(1)])
def test_anything_else_is_a_bug(error):
    assert mistake_in(error) is None


RECORDS = "leaderboard/records"
FILES = sorted(map(str, Path(RECORDS).glob("*.json")))
FULL = Path("/dev/full")
PLACES = {
    "a file in place of the folder": "file/page.html",
    "a folder in place of the file": "folder",
    "too long": "a" * 300,
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("option", ["--html", "--csv", "--markdown"])
def test_leaderboard_says_what_it_cannot_write(tmp_path, capsys, option, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert main(["leaderboard", "--records", RECORDS, option, str(tmp_path / place)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_file_in_place_of_the_folder_of_records(tmp_path, capsys):
    """The search for a free number must end."""
    (tmp_path / "records").touch()
    assert main(["leaderboard", "add", FILES[0], "--to", str(tmp_path / "records")]) == 2
    assert capsys.readouterr().err.startswith(f"blockyard leaderboard: {tmp_path / 'records'}: Not a directory")


def test_a_record_that_does_not_fit_leaves_no_scores(tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "record.json")

    monkeypatch.setattr("blockyard.leaderboard.record.keep", full)
    assert main(["leaderboard", "add", FILES[0], "--to", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "arguments", [["--help"], ["fit", "--help"], ["--version"], ["leaderboard", "--records", RECORDS]]
)
def test_a_full_standard_output(arguments):
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "blockyard", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"blockyard: an output: No space left on device; {DISK[errno.ENOSPC]}"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_and_a_read_only_one(small_disk, capsys):
    assert main(["leaderboard", "add", *FILES, "--to", str(small_disk)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"No space left on device; {DISK[errno.ENOSPC]}")
    kept = sorted(path.name for path in small_disk.iterdir())
    assert kept
    assert main(["leaderboard", "add", *[f"{small_disk}/{name}" for name in kept], "--to", f"{small_disk}"]) == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    capsys.readouterr()
    assert main(["leaderboard", "add", FILES[0], "--to", f"{small_disk}/new"]) == 2
    said = capsys.readouterr().err
    assert said == f"blockyard leaderboard: {small_disk}/new: Read-only file system; {DISK[errno.EROFS]}\n"


@pytest.mark.parametrize("name", ["spoken_commands", "cifar_like"])
def test_samples_that_do_not_fit_leave_nothing(tmp_path, capsys, monkeypatch, name):
    importlib.import_module(f"blockyard.samples.{name}")  # before files may be short only
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert main(["samples", name, "--root", str(tmp_path / "data")]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"File too large; {DISK[errno.EFBIG]}")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
