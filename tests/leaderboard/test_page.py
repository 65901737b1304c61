"""The page stands alone, holds every row, and takes text from records as text."""

import re
from html.parser import HTMLParser

import pytest

from blockyard.leaderboard import main
from blockyard.leaderboard.columns import columns
from blockyard.leaderboard.page import NOTES, PAGE, SCRIPT, STYLE, page
from blockyard.leaderboard.record import write
from blockyard.leaderboard.tables import tables

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">\'"&lt;]]>'
VOID = {"meta", "input", "wbr"}


class Outline(HTMLParser):
    """Elements with their attributes, text, and whether all that was opened was closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def study(make_record):
    return [
        make_record(0.9 + 0.01 * seed + gain, seed, block)
        for block, gain in ((None, 0), ("Nonlocal", 0.01), ("SpectralNonlocal", 0.02))
        for seed in range(3)
    ]


def test_it_names_and_links_everything(study):
    outline = Outline(page(tables(study)))
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pointed = [attributes["href"][1:] for attributes in outline.of("a")]
    pointed += [name for _, a in outline.elements for name in a.get("aria-labelledby", "").split()]
    assert set(pointed) <= set(ids)
    assert outline.of("html") == [{"lang": "en"}]
    assert {attributes.get("scope") for attributes in outline.of("th")} == {"col", "row"}
    regions = [attributes for _, attributes in outline.elements if attributes.get("role") == "region"]
    assert regions
    assert all("aria-labelledby" in region and region["tabindex"] == "0" for region in regions)


def test_it_asks_for_nothing_from_outside(study):
    text = page(tables(study))
    outline = Outline(text)
    assert not {"link", "iframe", "object", "embed", "img", "base"} & {tag for tag, _ in outline.elements}
    assert not [a for _, a in outline.elements if "src" in a or any(name.startswith("on") for name in a)]
    assert not re.search(r"https?:|url\((?!#)|@import", text)
    (policy,) = (a["content"] for a in outline.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert len(re.findall("'sha256-", policy)) == 2


def test_every_row_and_number_is_there(study):
    (table,) = tables(study)
    text = "\n".join(Outline(page([table])).text)
    for row in table.rows:
        assert all(column.text(row) in text for column in columns(table))
    assert all(note in text for note in table.notes)
    assert "6 experiments" not in text
    assert "3 experiments,\n9 runs, from" in text


def test_cells_are_sorted_by_what_they_mean(study):
    (table,) = tables(study)
    values = [a["data-value"] for a in Outline(page([table])).of("td") if "data-value" in a]
    width = len(values) // 3
    columns_of_first = values[:width]
    assert columns_of_first[0] == "3"  # the baseline stands first, and is third by its score
    assert columns_of_first[2] == repr(table.rows[0].score.mean)
    assert columns_of_first[3] == ""  # a baseline has no difference
    assert str(table.rows[0].macs) in columns_of_first


def test_text_of_records_is_text(make_record, config):
    """Labels come from records, and records may come from anyone."""
    config["model"]["init_args"]["backbone"]["init_args"]["name"] = HOSTILE
    hostile = {"metrics": {HOSTILE: 0.5, "top1": 0.5}, "primary": HOSTILE, "hardware": HOSTILE}
    records = [make_record(0, seed, block, at=[HOSTILE], **hostile) for block in (None, "A") for seed in range(3)]
    text = page(tables(records))
    outline = Outline(text)
    assert len(outline.of("script")) == 1
    assert outline.of("img") == []
    assert any(HOSTILE in data for data in outline.text)
    assert "<img" not in text
    assert text.count("<script") == 1


def test_further_pages_and_notes_are_folded(make_record):
    records = [make_record(0.5, 0, "A", at=[f"stage{number}"]) for number in range(PAGE + 5)]
    records += [
        make_record(0.6, 0, "A", at=["stage0"], repeat=k, finished=f"2026-01-{k:02}T00:00:00Z") for k in range(1, 9)
    ]
    (table,) = tables(records)
    outline = Outline(page([table]))
    assert {"class": "rest"} in outline.of("tbody")
    assert "".join(outline.text).count("A @ stage") >= PAGE + 5
    assert f"{len(table.notes) - NOTES} more notes" in outline.text


def test_backbones_and_blocks_can_be_chosen_where_there_are_several(study, make_record, config):
    one = Outline(page(tables(study)))
    assert "Networks (2)" not in one.text
    assert "Blocks (3)" in one.text
    config["model"]["init_args"]["backbone"]["init_args"]["depth"] = 56
    two = Outline(page(tables([*study, make_record(0.5)])))
    assert "Networks (2)" in two.text


def test_it_is_the_same_for_the_same_records(study):
    assert page(tables(study)) == page(tables(reversed(study)))


def test_style_and_script_do_not_end_early():
    """Both stand inside their elements as they are."""
    assert "</" not in STYLE.read_text() + SCRIPT.read_text()


@pytest.mark.parametrize(("option", "name"), [([], "leaderboard.html"), (["page.html"], "page.html")])
def test_the_command_writes_it(option, name, study, tmp_path, monkeypatch, capsys):
    for record in study:
        write(record, tmp_path / "records")
    monkeypatch.chdir(tmp_path)
    assert main(["--records", "records", "--html", *option]) == 0
    assert (tmp_path / name).read_text().startswith("<!doctype html>")
    assert f"wrote {name}" in capsys.readouterr().out
