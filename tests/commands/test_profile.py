"""``profile`` trains a block beside its baseline on the diagnostics, and prints what they say of it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import yaml

from blockyard.blocks import list_blocks
from blockyard.cli import main
from blockyard.commands import profile
from blockyard.commands.study.file import read_study
from blockyard.samples.diagnostics.conjunction import write_conjunction
from blockyard.samples.modules.diagnostics import Conjunction

FEW = {"train": 32, "val": 8, "test": 16}
MINE = """
from torch import nn
from blockyard.blocks import Block

class Mine(Block):
    identity_at_init = False

    def __init__(self, channels, spatial_dims, width=2):
        super().__init__(channels, spatial_dims)
        self.body = nn.Conv2d(channels, channels, 1, groups=width)

    def transform(self, x):
        return x + self.body(x)

class Foreign(nn.Module):
    pass
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, and one ability on few pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(profile, "COLUMNS", ("conjunction",))
    (tmp_path / "mypkg.py").write_text(MINE)
    monkeypatch.setenv("BLOCKYARD_ALLOW", "mypkg")
    monkeypatch.syspath_prepend(tmp_path)
    few = partial(write_conjunction, samples=FEW)
    monkeypatch.setattr(Conjunction, "prepare_data", lambda data: few(data.root))
    return tmp_path


def rows(text: str) -> list[str]:
    """The first words of the lines below the header of the printed matrix."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:1] == ["Block"])
    return [line.split()[0] for line in lines[start + 2 : start + 4]]


def test_a_block_of_ones_own_beside_its_baseline(here: Path, capsys):
    asked = ["profile", "mypkg.Mine", "--model.block.width", "4", "--seeds", "1", "--jobs", "1"]
    assert main(asked) == 0
    text = capsys.readouterr().out
    assert rows(text) == ["none", "Mine"]
    assert "Mine brings none of the abilities." in text
    assert (here / "profile-Mine.svg").read_text().startswith("<svg")
    study = read_study(str(here / "runs" / "studies" / "profile-Mine.yaml"))
    block = {"class_path": "mypkg.Mine", "init_args": {"width": 4}}
    assert study.plugs == [None, {"block": block, "at": "stage2.0", "mode": "after"}]
    assert main(asked) == 0  # nothing is left to do
    assert "2 runs, 2 with a record, 0 to do" in capsys.readouterr().out
    assert main(["profile", "--svg", "all.svg"]) == 0  # of what is on record
    assert rows(capsys.readouterr().out) == ["none", "Mine"]
    (here / "runs").rename(here / "elsewhere")  # another folder has the runs already
    assert main([*asked, "--records", "elsewhere/records"]) == 0
    text = capsys.readouterr().out
    assert "2 runs of elsewhere/records taken over" in text
    assert "2 runs, 2 with a record, 0 to do" in text
    assert rows(text) == ["none", "Mine"]


def test_the_study_has_every_block_where_profile_puts_it():
    study = read_study("studies/diagnostics.yaml")
    slots = {kind.__name__: kind.slot for kind in list_blocks()}
    for plug in filter(None, study.plugs):
        name = plug["block"]["class_path"] if isinstance(plug["block"], dict) else plug["block"]
        assert {"mode": "after"} | plug == {"block": plug["block"], **profile.PLACES[slots[name]]}


@pytest.mark.parametrize("slot", profile.PLACES)
def test_a_place_is_one_of_the_network(slot: str):
    from blockyard.backbones import PreResNet

    assert PreResNet(depth=8, num_classes=2).get_submodule(profile.PLACES[slot]["at"].replace("stage", "layer"))


def test_helpers_end_with_what_they_help(here: Path):
    study = profile._write_study("x", {"block": {"class_path": "ECA", "init_args": {}}, "at": "stage2.0"}, 1)
    with suppress(KeyError), profile._helpers(study, 2) as started:
        assert [process.poll() for process in started] == [None, None]
        raise KeyError
    assert None not in [process.poll() for process in started]
    assert study.with_suffix(".log").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SpectralNonlocall"], "did you mean SpectralNonlocal"),
        (["SpectralNonlocal", "--model.block.ordr", "2"], "has no option ordr; did you mean order?"),
        (["SpectralNonlocal", "--model.at", "stage1.0"], "no option --model.at; options of the block are"),
        (["notmine.Mine"], "may not be imported; if you trust it, set BLOCKYARD_ALLOW=notmine"),
        (["mypkg.Foreign"], "mypkg.Foreign is no block: its first arguments have to be channels and spatial_dims"),
        (["SpectralNonlocal", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["SpectralNonlocal", "--jobs", "-1"], "--jobs must be at least 1, got -1"),
        (["SpectralNonlocal", "--records", "nowhere"], "no folder nowhere"),
        (["--records", "nowhere"], "no folder nowhere"),
        ([], "no folder runs/records"),
    ],
)
def test_a_mistake_is_one_line(here: Path, capsys, arguments: list[str], said: str):
    assert main(["profile", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_records_of_other_data_are_no_profile(here: Path, capsys):
    digits = Path(__file__).parents[2] / "leaderboard" / "digits-blocks"
    assert main(["profile", "--records", str(digits)]) == 2
    assert "blockyard profile BLOCK makes those of a block" in capsys.readouterr().err


def test_the_study_is_a_file_that_can_be_read(here: Path):
    path = profile._write_study("x", {"block": {"class_path": "ECA", "init_args": {}}, "at": "stage2.0"}, 2)
    assert yaml.safe_load(path.read_text())["seeds"] == [0, 1]
