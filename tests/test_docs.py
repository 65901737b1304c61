"""What the docs say is what the committed records and the code say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

from blockyard import blocks
from blockyard.cli import VERBS
from blockyard.composing.resuming import Verdict
from blockyard.plugging import Mode

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _update() -> ModuleType:
    spec = importlib.util.spec_from_file_location("update", ROOT / "docs" / "update.py")
    update = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update)
    return update


def test_the_tables_of_the_docs_come_from_committed_records():
    update = _update()
    assert update.updated(README) == README, "run make docs"
    assert update.leaderboards() == update.TABLES.read_text(), "run make docs"


def test_the_table_of_options_on_resume_comes_from_the_code():
    update = _update()
    page = update.RESUME.read_text()
    assert update.updated(page) == page, "run make docs"
    assert "`trainer.max_epochs`" in page
    assert set(re.findall(r"\| ([a-z ]+) \|$", page, re.MULTILINE)) == {"on resume", *get_args(Verdict)}


def test_the_page_of_blocks_comes_from_the_classes():
    update = _update()
    assert update.blocks() == update.BLOCKS.read_text(), "run make docs"


def test_the_readme_names_verbs_and_blocks_that_exist():
    assert set(re.findall(r"^(?:srun .*|\w+=\w+ )?blockyard (\w+)", README, re.MULTILINE)) <= set(VERBS)
    for name in re.findall(r"from blockyard.blocks import (\w+)", README):
        assert hasattr(blocks, name)


def test_the_paths_that_the_readme_links_to_exist():
    for target in re.findall(r"\]\((?!http)([\w./-]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_wrapper_on_the_page_about_plugging_goes_around_a_stage(capsys):
    page = (ROOT / "docs" / "plugging.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, {"__name__": "example"})
    assert capsys.readouterr().out.startswith("around stages.2.blocks: Recursion, ")
    assert all(f"`{mode}`" in page for mode in get_args(Mode))
