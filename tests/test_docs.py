"""What the docs say is what the committed records and the code say."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import yaml

import blockyard
from blockyard import blocks
from blockyard.cli import VERBS, main
from blockyard.commands.study.cells import cells
from blockyard.commands.study.file import Study
from blockyard.composing.resuming import Verdict
from blockyard.plugging import Mode

ROOT = Path(__file__).parents[1]
PACKAGE = Path(blockyard.__file__).parent
README = (ROOT / "README.md").read_text()


def _update(name: str = "update") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    update = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")  # as where it is a script
        spec.loader.exec_module(update)
    return update


def test_the_tables_of_the_docs_come_from_committed_records():
    update = _update()
    assert update.leaderboards() == update.TABLES.read_text(), "run make docs"
    for page in update.PAGES:
        assert update.updated(page.read_text()) == page.read_text(), "run make docs"


def test_the_profile_comes_from_committed_records():
    profiles = _update("profiles")
    page = profiles.PAGE.read_text()
    assert profiles.updated(page) == page, "run make docs"
    assert profiles.drawn() == profiles.PICTURE.read_text(), "run make docs"


def test_the_pictures_of_the_page_are_there_small_and_shown():
    page = _update("page")
    said = (ROOT / "docs" / "page.md").read_text()
    assert all(folder.is_dir() for folder in page.FOLDERS)
    for name in page.PICTURES:
        assert (ROOT / "docs" / name).stat().st_size <= page.LARGEST
        assert f"({name})" in said


def test_of_every_row_something_was_predicted():
    profiles = _update("profiles")
    rows = {name.partition("(")[0] for name in profiles.study().rows} - {"none"}
    assert rows <= {name.partition("(")[0] for name in profiles.predictions()}
    assert all(set(marks.values()) <= set("+-?") for marks in profiles.predictions().values())


def test_the_table_of_options_on_resume_comes_from_the_code():
    update = _update()
    page = (ROOT / "docs" / "resume.md").read_text()
    assert update.updated(page) == page, "run make docs"
    assert "`trainer.max_epochs`" in page
    assert set(re.findall(r"\| ([a-z ]+) \|$", page, re.MULTILINE)) == {"on resume", *get_args(Verdict)}


def test_the_page_of_blocks_comes_from_the_classes():
    update = _update()
    assert update.blocks() == update.BLOCKS.read_text(), "run make docs"


def test_the_page_of_systems_comes_from_their_list_and_the_records():
    systems = _update("systems")
    assert systems.page() == systems.PAGE.read_text(), "run make docs"


def test_every_system_is_on_record():
    systems = _update("systems")
    assert "| 0 |" not in systems.PAGE.read_text()
    for told in (entry.get("record", "") for entry in systems.entries()):
        assert "/" not in told or (ROOT / told).is_file(), told


def test_a_system_is_reached_by_what_there_is_and_checked_by_a_test_that_there_is():
    systems = _update("systems")
    kinds = systems.published_names()
    papers = {kind.__name__: kind.paper for kind in systems.published()}
    parts = "".join(path.read_text() for path in (PACKAGE / "heads").rglob("*.py"))
    heads = set(re.findall(r"class (\w+)\((?:\w+Head|Neck|nn\.Module)\)", parts))
    listed = systems.entries()
    assert len({entry["name"] for entry in listed}) == len(listed) == 87
    for entry in listed:
        assert re.search(r" (19|20)\d\d$", entry["paper"]), entry["name"]
        path, _, name = entry["test"].partition("::")
        assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text(), re.MULTILINE), entry["name"]
        for kind in kinds & set(re.findall(r"\w+", entry["reach"])):
            title, _, venue = entry["paper"].rpartition(", ")
            assert papers[kind].endswith(venue[-4:]), entry["name"]
            assert title.partition(":")[0].lower() in papers[kind].lower(), entry["name"]
        known = systems.classes(entry) & kinds
        verb = re.match(r"blockyard ([\w-]+)", entry["reach"])
        head = re.search(r"--model\.(?:decode_head '\{type:|neck|head) (\w+)", entry["reach"])
        line = re.fullmatch(r"from (blockyard[\w.]+) import (\w+)", entry["reach"])
        function = line and hasattr(import_module(line[1]), line[2])
        script = re.search(r"python (examples/\w+\.py)", entry["reach"])
        assert not script or (ROOT / script[1]).is_file(), entry["name"]
        reached = known or "backbone" in entry["reach"] or (head and head[1] in heads) or (verb and verb[1] in VERBS)
        assert reached or function or script, entry["name"]


def test_the_readme_names_verbs_and_blocks_that_exist():
    assert set(re.findall(r"^(?:srun .*|\w+=\w+ )?blockyard (\w+)", README, re.MULTILINE)) <= set(VERBS)
    for name in re.findall(r"from blockyard.blocks import (\w+)", README):
        assert hasattr(blocks, name)


def test_the_paths_that_the_readme_links_to_exist():
    for target in re.findall(r"\]\((?!http)([\w./-]+)\)", README):
        assert (ROOT / target).exists(), target


TUPLE, WORD = re.compile(r"(?<!\w)\(.*,.*\)", re.DOTALL), re.compile(r"\bscalars?\b|\bof any shape\b")
"""``(B, C, *S)`` or ``x: (n,)``; what is called, as in ``max(a, b)``, is no shape."""
RUN = ("__init__", "__call__", "forward", "transform", "loss")
"""By what these take and give, a class takes and gives tensors."""


def _says_shape(text: str) -> bool:
    return WORD.search(text) is not None or any(TUPLE.search(code) for code in text.split("``")[1::2])


def _is_tensor(annotation: ast.expr | None) -> bool:
    return annotation is not None and re.search(r"\bTensor\b", ast.unparse(annotation)) is not None


def _of_tensors(function: ast.FunctionDef) -> bool:
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return _is_tensor(function.returns) or any(_is_tensor(argument.annotation) for argument in arguments)


def _touching_tensors(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, str]]:
    """Every public function, method and class that takes, gives or holds a tensor, with its docstring."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if isinstance(node, ast.FunctionDef):
            touches = _of_tensors(node)
        else:
            yield from _touching_tensors(node.body, f"{owner}{node.name}.")
            touches = any(
                _is_tensor(part.annotation)
                if isinstance(part, ast.AnnAssign)
                else isinstance(part, ast.FunctionDef) and part.name in RUN and _of_tensors(part)
                for part in node.body
            )
        if touches:
            yield f"{owner}{node.name}", ast.get_docstring(node) or ""


def test_nine_of_ten_docstrings_that_touch_tensors_say_their_shapes():
    found = {
        f"{path.relative_to(PACKAGE)}: {name}": _says_shape(text)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name, text in _touching_tensors(ast.parse(path.read_text()).body)
    }
    without = [name for name, said in found.items() if not said]
    assert len(found) > 300
    assert len(without) <= 0.1 * len(found), "\n".join(without)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Map ``(B, C, *S)`` to the same shape.", True),
        ("Return A z for ``z: (B, C, M)``.", True),
        ("Positions ``(n,)``.", True),
        ("The loss, a scalar.", True),
        ("``max(a, b)`` of both (first, second), not of ``c``.", False),
        ("Add both.", False),
    ],
)
def test_what_counts_as_a_shape(text, said):
    assert _says_shape(text) == said


STUDIES = (ROOT / "docs" / "studies.md").read_text()
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", STUDIES, re.DOTALL)]
LINES = [line.partition("#")[0].split()[1:] for line in re.findall(r"^blockyard study .*", STUDIES, re.MULTILINE)]


def _planned(study: dict[str, Any], *line: str) -> list[str]:
    """The hashes of the runs of a study, which is planned by the verb itself."""
    Path("mine.yaml").write_text(yaml.safe_dump(study))
    said = io.StringIO()
    with redirect_stdout(said):
        assert main([*(line or ("study", "mine.yaml")), "--dry-run"]) == 0
    assert not Path("runs").exists()
    return re.findall(r"^\[\d+/\d+\] .*\(([0-9a-f]{12})\): new$", said.getvalue(), re.MULTILINE)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_each_example_of_a_study_can_be_planned(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    study = EXAMPLES[0] | EXAMPLES[number]
    study["seeds"] = study["seeds"][:1]
    assert len(set(_planned(study))) == len(cells(Study(**study)))


def test_each_key_of_a_study_has_an_example():
    keys = re.findall(r"^\*\*`(\w+)`\*\*.*?```yaml\n(.*?)```", STUDIES, re.MULTILINE | re.DOTALL)
    assert sorted(key for key, _ in keys) == sorted(field.name for field in fields(Study))
    assert all(key in yaml.safe_load(example) for key, example in keys)


def test_options_nested_and_flat_are_the_same_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    *_, flat, nested, whole, short = [EXAMPLES[0] | example | {"seeds": [0]} for example in EXAMPLES]
    assert _planned(flat) == _planned(nested) != _planned(EXAMPLES[0] | {"seeds": [0]})
    assert _planned(whole) == _planned(short)


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_each_line_about_a_study_is_understood(line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if "slurm" in line:
        pytest.importorskip("submitit")
    monkeypatch.chdir(tmp_path)
    assert len(_planned(EXAMPLES[0] | {"seeds": [0]}, *line)) == 2


def test_the_wrapper_on_the_page_about_plugging_goes_around_a_stage(capsys):
    page = (ROOT / "docs" / "plugging.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example, {"__name__": "example"})
    assert capsys.readouterr().out.startswith("around stages.2.blocks: Twice, ")
    assert all(f"`{mode}`" in page for mode in get_args(Mode))
