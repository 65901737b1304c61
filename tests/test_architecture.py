"""The house: imports only point down, and what promises to be light stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import blockyard

PACKAGE = Path(blockyard.__file__).parent
SOURCES = {path.relative_to(PACKAGE): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {path: ast.parse(text) for path, text in SOURCES.items()}
EXAMPLES = {path: path.read_text() for path in sorted((PACKAGE.parent / "examples").glob("*.py"))}
ROOMS = {  # a room may import itself and the rooms named
    "version": set(),
    "mistakes": set(),
    "progress": set(),
    "unfinished": set(),
    "files": {"unfinished"},
    "metrics": set(),
    "blocks": set(),
    "plugging": {"blocks", "mistakes"},
    "costs": {"plugging", "blocks"},
    "poolings": {"blocks"},
    "backbones": {"poolings", "plugging", "blocks", "mistakes"},
    "heads": {"backbones", "poolings", "plugging", "blocks", "mistakes"},
    "retrieval": {"mistakes"},
    "media": {"mistakes"},
    "publishers": {"mistakes", "version"},
    "datamodules": {"media", "publishers", "mistakes", "progress", "unfinished"},
    "samples": {"media", "datamodules", "mistakes", "progress", "unfinished"},
    "leaderboard": {"metrics", "files", "version", "mistakes", "unfinished"},
    "portable": set(),
    "runs": {"leaderboard", "costs", "metrics", "files", "version", "progress"},
    "analysis": {
        *("runs", "datamodules", "retrieval", "leaderboard", "backbones", "plugging", "blocks", "mistakes"),
        "progress",
    },
    "compression": {"analysis", "backbones", "costs", "plugging", "blocks", "mistakes"},
    "training": {"analysis", "runs", "plugging", "blocks", "metrics", "files", "mistakes"},
    "objectives": {"backbones", "plugging", "blocks"},
    "tasks": {
        *("compression", "analysis", "objectives", "training", "runs", "heads", "backbones", "poolings", "plugging"),
        *("blocks", "costs", "retrieval", "datamodules", "media", "leaderboard", "metrics", "files", "mistakes"),
        "progress",
    },
    "composing": {
        *("samples", "tasks", "objectives", "training", "analysis", "runs", "heads", "backbones", "poolings"),
        *("plugging", "blocks", "datamodules", "leaderboard", "metrics", "files", "mistakes", "progress", "unfinished"),
    },
    "model_card": {"leaderboard", "portable"},
    "hub": {"composing", "portable", "model_card", "tasks", "leaderboard", "plugging", "files", "version", "mistakes"},
}
"""``commands`` and ``cli`` stand above all of these."""


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "blockyard" and len(parts) > 1 else None


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(TREES[path.relative_to(PACKAGE)]):
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


@cache
def imported_modules() -> dict[str, set[str]]:
    """The modules of the package that each imports, for types alone included; a folder's ``__init__`` is its name."""
    named = {path: ".".join(["blockyard", *path.with_suffix("").parts]).removesuffix(".__init__") for path in TREES}
    modules, found = set(named.values()), {}
    for path, name in named.items():
        imported: set[str] = set()
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                parts = [f"{node.module}.{alias.name}" for alias in node.names]
                imported |= {part if part in modules else str(node.module) for part in parts}
        found[name] = (imported & modules) - {name}
    return found


def test_no_module_imports_what_imports_it():
    """No circle of modules either, within a room or across them."""
    TopologicalSorter(imported_modules()).prepare()


def test_the_folders_of_a_room_have_their_floors():
    """What a folder in a room imports does not import from it; a room's and a folder's faces name what lies below."""
    folder = {module: module.rpartition(".")[0] for module in imported_modules()}
    faces = {".".join(["blockyard", *path.parent.parts]) for path in SOURCES if path.name == "__init__.py"}
    below: dict[str, set[str]] = defaultdict(set)
    for module, others in imported_modules().items():
        for other in others - faces if module not in faces else ():
            if room(module) == room(other) and folder[module] != folder[other]:
                below[folder[module]].add(folder[other])
    assert below
    TopologicalSorter(below).prepare()


def test_no_room_is_a_quarter_of_the_house():
    lines = Counter()
    for path, text in SOURCES.items():
        lines[path.parts[0]] += text.count("\n")
    name, most = lines.most_common(1)[0]
    assert most <= lines.total() / 4, f"{name} holds {most / lines.total():.1%} of the lines"


def test_files_and_functions_are_short():
    files = {path.as_posix(): text.count("\n") for path, text in SOURCES.items()}
    functions = {
        f"{path.as_posix()}: {node.name}": node.end_lineno - node.lineno + 1
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert median(files.values()) <= 110
    assert not {name: length for name, length in files.items() if length > 330}
    assert not {name: length for name, length in functions.items() if length > 48}


def test_an_example_can_be_read_at_once_and_takes_a_seed():
    assert EXAMPLES
    for path, text in EXAMPLES.items():
        assert text.count("\n") <= 120, path.name
        assert f"    python examples/{path.name} --seed 0\n" in ast.get_docstring(ast.parse(text), clean=False), (
            path.name
        )
        assert {"Trainer", "LightningModule"} <= set(re.findall(r"\blightning\.(\w+)", text)), path.name
        assert re.search(r"^from blockyard\.", text, re.MULTILINE), path.name


def code_lines(text: str, tree: ast.AST) -> list[str]:
    """The lines of a file that hold a word, without docstrings, comments and imports."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if said or isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    numbered = enumerate(map(str.strip, text.splitlines()), 1)
    kept = [line for number, line in numbered if number not in left_out and not line.startswith("#")]
    return [line for line in kept if any(map(str.isalnum, line))]


def test_no_six_lines_are_there_twice():
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    trees = TREES | {path: ast.parse(text) for path, text in EXAMPLES.items()}
    for path, text in (SOURCES | EXAMPLES).items():
        lines = code_lines(text, trees[path])
        for start in range(len(lines) - 5):
            places[tuple(lines[start : start + 6])].append(path.as_posix())
    assert not [(where, lines) for lines, where in places.items() if len(where) > 1]


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("package", ["blocks", "poolings", "plugging", "costs", "backbones"])
def test_networks_import_without_lightning(package):
    assert not {"lightning", "pytorch_lightning"} & modules_after(f"import blockyard.{package}")


READERS = ", ".join(path.stem for path in SOURCES if path.parts[0] == "media" and path.stem != "__init__")


@pytest.mark.parametrize(
    "statement",
    [
        "import blockyard",
        "import blockyard.leaderboard",
        "import blockyard.cli",
        "import blockyard.commands.fetch",
        "import blockyard.commands.study.job",
        f"from blockyard.media import {READERS}",
    ],
)
def test_what_answers_at_once_imports_no_torch(statement):
    assert "torch" not in modules_after(statement)


PEERS = {"timm", "pytorchvideo", "mmseg", "mmengine", "mmcv", "pytorch_metric_learning", "transformers"}
"""Libraries of networks, heads and losses, each for what some configurations name."""
FOR_OTHERS = {
    *("sklearn", "pybullet", "pandas", "onnx", "onnxscript", "torchcodec", "soundfile", "submitit", "tensorboard.main"),
    *(f"blockyard.leaderboard.{name}" for name in ("command", "page", "render", "profile", "matrix", "tables")),
    *(f"blockyard.commands.{name}" for name in ("study", "export", "inspect", "profile", "samples", "suggest")),
    *("blockyard.hub", "blockyard.analysis.graph_drawing"),
}
"""What other verbs take, other data, and drawing sample data."""


@pytest.mark.parametrize("trial", ["image_classification/digits", "image_restoration/noisy_photographs"])
def test_a_trial_imports_no_library_that_its_configuration_does_not_name(trial, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = f"fit --config {trial}.yaml --trainer.fast_dev_run true --trainer.enable_progress_bar false"
    assert not (PEERS | FOR_OTHERS) & modules_after(f"from blockyard.cli import main; assert main({line.split()}) == 0")


@pytest.mark.parametrize(
    "config",
    [
        "action_recognition/human_actions",
        "audio_classification/spoken_commands",
        "person_reid/walkers",
        "semantic_segmentation/scenes",
    ],
)
def test_a_configuration_is_read_without_libraries_of_networks(config, tmp_path, monkeypatch):
    """Not even those that it names: they come with the network. Sample data of these tasks take minutes to write."""
    monkeypatch.chdir(tmp_path)
    line = f"fit --config {config}.yaml --print_config"
    statement = f"from blockyard.cli import main; assert main({line.split()}) == 0"
    assert not (PEERS | FOR_OTHERS) & modules_after(statement)


def test_what_a_configuration_may_name_is_imported():
    """Classes go by their name alone, which the command line looks up among those that exist."""
    named = ("tasks", "datamodules", "samples.modules", "training", "objectives", "backbones", "blocks", "poolings")
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
