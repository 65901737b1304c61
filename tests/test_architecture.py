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
    "metrics": set(),
    "blocks": set(),
    "plugging": {"blocks"},
    "costs": {"plugging", "blocks"},
    "poolings": {"blocks"},
    "backbones": {"poolings", "plugging", "blocks", "mistakes"},
    "heads": {"backbones", "plugging", "blocks", "mistakes"},
    "retrieval": {"mistakes"},
    "datamodules": {"mistakes", "unfinished"},
    "samples": {"datamodules", "mistakes", "unfinished"},
    "leaderboard": {"metrics", "files", "version", "mistakes", "unfinished"},
    "portable": set(),
    "runs": {"leaderboard", "costs", "metrics", "files", "version"},
    "training": {"runs", "plugging", "metrics", "mistakes"},
    "analysis": {"datamodules", "retrieval", "leaderboard", "plugging", "blocks", "mistakes"},
    "tasks": {
        *("analysis", "training", "runs", "heads", "backbones", "plugging", "blocks"),
        *("retrieval", "datamodules", "leaderboard", "metrics", "files", "mistakes"),
    },
    "composing": {
        *("samples", "tasks", "training", "runs", "backbones", "poolings", "plugging", "blocks"),
        *("datamodules", "leaderboard", "metrics", "files", "mistakes", "unfinished"),
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
    named = ("tasks", "datamodules", "samples.modules", "training", "backbones", "blocks", "poolings")
    assert {f"blockyard.{room}" for room in named} <= modules_after("import blockyard.composing.suite")


def test_callbacks_that_only_watch_say_so_and_do_not_tell_experiments_apart():
    """Those of the tasks hang on every trainer by themselves: no configuration has to name one."""
    import lightning.pytorch.callbacks as theirs

    import blockyard.composing.suite  # noqa: F401 - which imports all that a configuration may name
    from blockyard.leaderboard.identity import IGNORED_CALLBACKS

    said = {kind.__name__: kind for kind in subclasses(theirs.Callback) if hasattr(kind, "only_watches")}
    own = {kind.__name__ for kind in subclasses(theirs.Callback) if room(kind.__module__) in ("runs", "training")}
    assert own <= said.keys()
    watching = {name for name, kind in said.items() if kind.only_watches}
    ignored = {name for name in IGNORED_CALLBACKS if not hasattr(theirs, name)}
    assert ignored <= watching
    assert own & watching <= ignored


def subclasses(kind: type) -> set[type]:
    return {below for child in kind.__subclasses__() for below in (child, *subclasses(child))}
