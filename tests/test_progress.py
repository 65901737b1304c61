"""What takes long says what it is: after a while, in one line at the foot of a terminal, or two in a log."""

from __future__ import annotations

import re
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from blockyard import progress
from blockyard.datamodules import ImageFolder
from blockyard.progress import at_work, nothing_said
from blockyard.samples.motions import write_motions

SHORT = 0.05


@pytest.fixture
def impatient(monkeypatch):
    """Said at once, but for what is over by then."""
    monkeypatch.setattr(progress, "DELAY", SHORT)


@pytest.fixture
def terminal(impatient, monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)


def lines_of(text: str) -> list[str]:
    """What a terminal was told, escape sequences aside."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def linger(seconds: float = 10 * SHORT) -> None:
    time.sleep(seconds)


def test_a_log_has_a_line_at_the_start_and_one_at_the_end(impatient, capsys):
    with at_work("counting", 3) as step:
        for _ in range(3):
            linger(4 * SHORT)
            step()
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first == "counting …"
    assert re.fullmatch(r"counting: \d+ s", last)


def test_what_is_quick_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "DELAY", 0.5)
    with at_work("counting"):
        pass
    linger(0.7)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_with_its_name_that_leaves_no_line_behind(terminal, capfd):
    with at_work("counting sheep [/b] of a very long name indeed", 4) as step:
        for _ in range(4):
            linger(6 * SHORT)
            step()
    out, err = capfd.readouterr()
    assert out == ""
    shown = lines_of(err)
    assert shown
    assert all(line.startswith("counting sheep [/b]") and len(line) <= 80 for line in shown)
    assert any("3/4" in line for line in shown)
    assert err.rstrip().endswith("\x1b[2K")  # which takes the last line away


def test_what_is_done_inside_is_said_in_its_place(impatient, capsys):
    with at_work("listing"):
        with at_work("filming"):
            linger()
        assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["filming", "filming:"]
        linger()
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["listing", "listing:"]


def test_a_mistake_is_not_followed_by_a_last_line(impatient, capsys):
    with pytest.raises(ZeroDivisionError), at_work("counting"):
        linger(1 / 0 if time.sleep(10 * SHORT) is None else 0)
    linger()
    assert capsys.readouterr().err.splitlines() == ["counting …"]


@pytest.mark.parametrize("name", progress.RANKS)
def test_other_processes_of_a_job_say_nothing(name, impatient, monkeypatch, capsys):
    monkeypatch.setenv(name, "1")
    with at_work("counting") as step:
        linger()
        step()
    assert capsys.readouterr() == ("", "")


def _at_work(_: int) -> None:
    progress.DELAY = SHORT
    with at_work("counting"):
        linger()


def test_nor_do_the_workers_of_a_process(capfd):
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        list(pool.map(_at_work, range(1)))
    assert capfd.readouterr() == ("", "")


def test_nothing_is_said_beside_another_table(impatient, capsys):
    with nothing_said(), at_work("counting"):
        linger()
    assert capsys.readouterr() == ("", "")


def test_sample_data_and_folders_have_names(monkeypatch, tmp_path, capsys, write_pictures):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    write_motions(tmp_path / "motions", subjects=4, takes=1)
    assert "performing motions …" in capsys.readouterr().err.splitlines()
    data = ImageFolder(str(write_pictures(tmp_path / "pictures")))
    load = data.load
    monkeypatch.setattr(data, "load", lambda name: (linger(SHORT), load(name))[1])
    data.split("train")
    assert "listing train of ImageFolder …" in capsys.readouterr().err.splitlines()
