"""The site's pages of blocks are whole and true to the catalogue, and its menu names pages that there are."""

import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import block_pages
import places
import pytest
import site_pages
import yaml
from plain_markdown import plain

from blockyard.cli import main

ROOT = Path(__file__).parents[1]
KINDS = {kind.__name__: kind for kind in block_pages.kinds()}
SAID = block_pages.said()
PAGES = dict(block_pages.pages())
ONE_A_SLOT = {kind.slot: name for name, kind in KINDS.items()}


def test_every_class_of_the_catalogue_has_an_entry_in_its_order():
    assert list(SAID) == list(KINDS)
    assert list(PAGES) == [f"blocks/{name}.md" for name in KINDS]


@pytest.mark.parametrize("name", SAID)
def test_a_page_has_formula_picture_command_and_paper(name):
    page, kind = PAGES[f"blocks/{name}.md"], KINDS[name]
    drawn = re.findall(r"<math.*?</math>", page, re.DOTALL)
    assert len(drawn) == len(SAID[name]["formula"])
    for formula in map(ElementTree.fromstring, drawn):
        # what the converter does not know it spells out
        assert not any("\\" in (part.text or "") for part in formula.iter())

    assert f"**Paper:** {kind.paper}\n" in page
    assert re.search(r" (19|20)\d\d$", kind.paper)
    assert block_pages.command(kind, SAID[name].get("options", "")) in page.replace(" \\\n  --", " --")


@pytest.mark.parametrize("name", SAID)
def test_a_picture_marks_the_block_and_the_stages_that_it_is_said_to_be_in(name):
    stages = SAID[name].get("stages", [])
    drawn = ElementTree.fromstring(places.picture(name, SAID[name]["place"], stages))
    texts = [text for text in drawn.iter() if text.tag.endswith("text")]
    assert name in [text.text for text in texts]
    marked = {text.text for text in texts if text.get("class") == "of-block"} - {name}
    assert marked == ({f"stage {stage}" for stage in stages} or {places.PART_OF[SAID[name]["place"]]})
    for box in (part for part in drawn.iter() if part.tag.endswith("rect")):
        assert float(box.get("x")) >= 0
        assert float(box.get("x")) + float(box.get("width")) <= places.WIDTH
        assert float(box.get("y")) + float(box.get("height")) <= places.HEIGHT


def test_a_picture_of_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no place elsewhere"):
        places.picture("ECA", "elsewhere", [1])
    with pytest.raises(ValueError, match="stage 5"):
        places.picture("ECA", "branch", [5])
    with pytest.raises(ValueError, match="too long"):
        places.picture("A" * 60, "branch", [1])


@pytest.mark.parametrize("name", ONE_A_SLOT.values(), ids=ONE_A_SLOT)
def test_the_command_of_each_slot_trains(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = block_pages.command(KINDS[name], SAID[name].get("options", ""))
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line.removeprefix("blockyard "))]
    assert main([*words, "--trainer.fast_dev_run", "true", "--trainer.enable_progress_bar", "false"]) == 0


def test_the_menu_names_every_page_once():
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = [path for section in menu for pages in section.values() for page in pages for path in page.values()]
    there = {path.name for path in (ROOT / "docs").glob("*.md")} | set(site_pages.BESIDE.values()) | {"notebook.md"}
    assert sorted(named) == sorted(there)


def test_links_lead_to_pages_of_the_site_or_say_their_words():
    pages = ("records.md", "index.md", "security.md", "a.png")

    def rewritten(path, text):
        page = SimpleNamespace(file=SimpleNamespace(src_uri=path))
        there = SimpleNamespace(get_file_from_path=lambda name: name if name in pages else None)
        return site_pages.on_page_markdown(text, page, None, there)

    assert rewritten("index.md", "[a](docs/records.md#b) [c](SECURITY.md)") == "[a](records.md#b) [c](security.md)"
    assert rewritten("index.md", "![p](docs/a.png) [d](leaderboard/records)") == "![p](a.png) d"
    assert rewritten("records.md", "[s](../blockyard/files.py), [r](../README.md), [x](https://a.b/c), [t](#t)") == (
        "s, [r](index.md), [x](https://a.b/c), [t](#t)"
    )
    assert rewritten("blocks/ECA.md", "[all](../records.md)") == "[all](../records.md)"


def test_docstrings_lose_what_only_sphinx_reads():
    assert (
        plain("See :class:`~blockyard.blocks.Block` of ``(B, C)``, :func:`plug`.") == "See `Block` of `(B, C)`, `plug`."
    )
    assert plain("``stage3\n.-2`` and ``b``") == "`stage3\n.-2` and `b`"
    table = "===  =======\n``a``  begins\n       and ends\n``b``  so\n===  ======="
    assert plain(f"Before.\n\n{table}\n\n``c``") == "Before.\n\n- `a`: begins and ends\n- `b`: so\n\n`c`"


def test_every_class_has_a_family_in_the_menu():
    rooms = [kind.__module__.split(".")[1:3] for kind in KINDS.values()]
    assert {folder if room == "blocks" else room for room, folder in rooms} == site_pages.FAMILIES.keys()
