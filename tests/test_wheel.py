"""What is installed without the sources beside it has all that the package opens."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import blockyard
from blockyard.version import __version__

PACKAGE = Path(blockyard.__file__).parent
ROOT = PACKAGE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def packed() -> set[Path]:
    """Files of the package that setuptools puts into a wheel besides those of Python."""
    globs = PROJECT["tool"]["setuptools"]["package-data"]["blockyard"]
    return {path for glob in globs for path in PACKAGE.glob(glob) if path.is_file()}


def test_every_file_of_the_package_is_in_the_wheel():
    there = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in there if path.suffix != ".py"} == packed()


def test_every_folder_with_python_in_it_is_a_package():
    """``packages.find`` looks for ``__init__.py``: a folder without one would be left out."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_files_that_are_named_beside_a_module_are_there():
    named = re.compile(r'Path\(__file__\)\.with_name\("([^"]+)"\)')
    found = {path.with_name(name) for path in PACKAGE.rglob("*.py") for name in named.findall(path.read_text())}
    assert found
    assert found <= packed()


def test_nothing_in_the_package_reads_what_lies_beside_it():
    """``docs``, ``leaderboard``, ``scripts`` and ``tests`` are not installed."""
    climbs = re.compile(r"Path\(__file__\)[.\w()]*\.parents\[(\d+)\]")
    for path in PACKAGE.rglob("*.py"):
        deepest = len(path.relative_to(PACKAGE).parts) - 1
        assert all(int(level) <= deepest for level in climbs.findall(path.read_text())), path


def test_the_version_is_one():
    (first, *_) = re.findall(r"^## \[(.+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first[0] == __version__
    assert first[1] == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", first[1])
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_extras_that_messages_name_exist():
    from blockyard.mistakes import EXTRAS

    extras = set(PROJECT["project"]["optional-dependencies"])
    told = {extra for path in PACKAGE.rglob("*.py") for extra in re.findall(r"blockyard\[(\w+)\]", path.read_text())}
    assert {*EXTRAS.values(), *told} <= extras
    makefile = (ROOT / "Makefile").read_text()
    (locked,) = re.findall(r"^EXTRAS := (.+)$", makefile, re.MULTILINE)
    assert set(locked.split()) == extras - {"mlflow", "wandb"}
