"""The house: imports only point down, and what promises to be light stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import blockyard

PACKAGE = Path(blockyard.__file__).parent
ROOMS = {  # a room may import itself and the rooms named
    "version": set(),
    "mistakes": set(),
    "unfinished": set(),
    "files": {"unfinished"},
    "blocks": set(),
    "plugging": {"blocks"},
    "costs": {"plugging", "blocks"},
    "poolings": {"blocks"},
    "backbones": {"poolings", "plugging", "blocks", "mistakes"},
    "heads": {"backbones", "plugging", "blocks", "mistakes"},
    "retrieval": {"mistakes"},
    "datamodules": {"mistakes", "unfinished"},
    "samples": {"datamodules", "mistakes", "unfinished"},
    "leaderboard": {"files", "version", "mistakes", "unfinished"},
    "portable": set(),
    "runs": {"leaderboard", "costs", "files", "version"},
    "training": {"runs", "plugging", "mistakes"},
    "objectives": {"plugging"},
    "tasks": {
        *("objectives", "training", "runs", "heads", "backbones", "plugging", "blocks"),
        *("retrieval", "datamodules", "leaderboard", "files", "mistakes"),
    },
    "analysis": {"tasks", "datamodules", "retrieval", "leaderboard", "plugging", "blocks", "mistakes"},
    "composing": {
        *("samples", "tasks", "objectives", "training", "runs", "backbones", "poolings", "plugging", "blocks"),
        *("datamodules", "leaderboard", "files", "mistakes", "unfinished"),
    },
    "hub": {"composing", "portable", "tasks", "leaderboard", "plugging", "files", "version", "mistakes"},
}
"""``commands`` and ``cli`` stand above all of these."""


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "blockyard" and len(parts) > 1 else None


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            rooms |= {room(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "blockyard":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            rooms.add(room(node.module or ""))
    return rooms - {None}


@pytest.mark.parametrize("name", ROOMS)
def test_imports_only_point_down(name):
    target = PACKAGE / name
    files = list(target.rglob("*.py")) if target.is_dir() else [target.with_suffix(".py")]
    assert files
    for path in files:
        above = imported_rooms(path) - ROOMS[name] - {name}
        assert not above, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(above))}"


def test_every_room_has_its_floor():
    """No circle: the rooms stand in the order in which they may be imported."""
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__", "__main__", "cli", "commands"} == ROOMS.keys()
    seen: set[str] = set()
    for name, below in ROOMS.items():
        assert below <= seen, f"{name} stands below {', '.join(sorted(below - seen))}"
        seen.add(name)


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize("package", ["blocks", "poolings", "plugging", "costs", "backbones"])
def test_networks_import_without_lightning(package):
    assert not {"lightning", "pytorch_lightning"} & modules_after(f"import blockyard.{package}")


@pytest.mark.parametrize("statement", ["import blockyard", "import blockyard.leaderboard", "import blockyard.cli"])
def test_what_answers_at_once_imports_no_torch(statement):
    assert "torch" not in modules_after(statement)


def test_what_a_configuration_may_name_is_imported():
    """Classes go by their name alone, which the command line looks up among those that exist."""
    named = ("tasks", "datamodules", "samples.modules", "training", "objectives", "backbones", "blocks", "poolings")
    assert {f"blockyard.{room}" for room in named} <= modules_after("import blockyard.composing.suite")
