"""docs/papers.md says what its studies are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blockyard.blocks.nonlocals.released import KINDS
from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import read_study

PAGE = (Path(__file__).parents[1] / "docs" / "papers.md").read_text()
STUDIES = re.findall(r"^\| `(studies/[\w-]+\.yaml)` \| .* \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
BLOCKS = ["Nonlocal", "NonlocalStage", "DoubleAttention", "CompactNonlocal", "CrissCross", "SpectralNonlocal"]


@pytest.mark.parametrize(("name", "rows", "runs"), STUDIES)
def test_a_study_has_the_rows_and_runs_that_the_page_says(name, rows, runs):
    study = read_study(name)
    planned = cells(study)
    assert (len({cell.row for cell in planned}), len(planned)) == (int(rows), int(runs))


@pytest.mark.parametrize("name", [name for name, *_ in STUDIES if "released" not in name])
def test_a_table_has_every_block_at_every_place(name):
    plugs = [plug for plug in read_study(name).plugs if plug is not None]
    named = [plug["block"] if isinstance(plug["block"], str) else plug["block"]["class_path"] for plug in plugs]
    places = list(dict.fromkeys(plug["at"] for plug in plugs))
    assert [plug["at"] for plug in plugs] == [place for place in places for _ in range(7)]
    assert named == [*BLOCKS, "SpectralNonlocal"] * len(places)
    assert places == (["stage1.1", "stage2.1", "stage3.1"] if "cifar" in name else ["one-in-res4"])


def test_the_page_lists_every_study_and_release():
    assert len(STUDIES) == 5
    for release, kinds in KINDS.items():
        assert re.search(rf"^\| `{release}` \| {', '.join(kinds)} \|", PAGE, re.MULTILINE)
