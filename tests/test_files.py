"""A file is there whole or not at all, and what went wrong is said of it."""

from __future__ import annotations

import errno
import os

import pytest

from blockyard import files


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("step", ["fsync", "link", "replace"])
def test_a_refusal_at_any_step_leaves_what_was_there(tmp_path, monkeypatch, number, step):
    path = tmp_path / "records" / "page.html"
    files.write(path, b"before")

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"os.{step}", refuse)
    write = files.create if step == "link" else files.write
    target = path.with_name("new.html") if step == "link" else path
    with pytest.raises(OSError, match=r"page|new") as caught:
        write(target, b"after")
    assert (caught.value.errno, caught.value.filename) == (number, str(target))
    assert [(file.name, file.read_bytes()) for file in path.parent.iterdir()] == [("page.html", b"before")]


def test_a_file_in_place_of_the_folder_is_not_taken_for_the_new_file(tmp_path):
    (tmp_path / "records").touch()
    with pytest.raises(NotADirectoryError, match="records"):
        files.create(tmp_path / "records" / "a.json", b"")


@pytest.mark.parametrize("number", files.NO_LINKS)
def test_creates_where_there_are_no_links(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.link", refuse)
    files.create(tmp_path / "a", b"first")
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "a", b"second")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"first")]


def test_a_folder_that_can_t_be_made_is_known_before(tmp_path, monkeypatch):
    files.insist_on(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/x/y"):
        with pytest.raises(NotADirectoryError, match="file"):
            files.insist_on(tmp_path / folder)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(PermissionError, match="new"):
        files.insist_on(tmp_path / "new")
