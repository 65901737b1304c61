"""The page as a browser shows it, at desktop and phone widths, from disk."""

import importlib.util
from pathlib import Path

import pytest

from blockyard.leaderboard.page import PAGE, page
from blockyard.leaderboard.tables import tables
from blockyard.metrics import Metric

SPEC = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
browser = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(browser)

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium: apt-get install chromium")
WIDTHS = pytest.mark.parametrize("width", [1280, 390])
HOSTILE = "<script>document.title='hacked'</script><img src=x onerror=document.title='hacked'>"
BLOCKS = "Array.from(document.querySelectorAll('.board tbody th'), (cell) => cell.textContent)"
STATUS = "document.querySelector('.board [role=status]').textContent"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def show(tab, tmp_path):
    """``show(records, width=1280, **options)``: the tab with the page of some records."""

    def open_page(records, width=1280, **options):
        path = tmp_path / "page.html"
        path.write_text(page(tables(records)), encoding="utf-8")
        tab.open(path, width, **options)
        return tab

    return open_page


@pytest.fixture
def study(make_record, config):
    """Three blocks and a baseline in two backbones, and a second data set."""
    blocks = {None: 0.0, "Nonlocal": 0.011, "SpectralNonlocal": 0.03, "GlobalContext": -0.02}
    records = []
    for data, depth in (("Digits", 20), ("Digits", 56), ("CIFAR10", 20)):
        config["data"]["class_path"] = f"blockyard.datamodules.{data}"
        config["model"]["init_args"]["backbone"]["init_args"]["depth"] = depth
        records += [
            make_record(
                0.9 + 0.001 * depth + 0.001 * (seed * seed % 5) + gain,
                seed,
                block,
                macs=depth * 10**6 + len(str(block)),
            )
            for block, gain in blocks.items()
            for seed in range(5)
        ]
    return records


@pytest.fixture
def many(make_record):
    """More rows than a page shows."""
    return [make_record(number / 1000, 0, "A", at=[f"stage{number}"]) for number in range(2 * PAGE + 20)]


def clicked(tab, header, board=1):
    """Click a header of the first table; what it says of its order then."""
    return tab(
        f"""(() => {{
          const heads = Array.from(document.querySelectorAll(".board")[{board}].querySelectorAll("thead th"));
          const head = heads.find((head) => head.textContent === {header!r});
          head.querySelector("button").click();
          return head.getAttribute("aria-sort");
        }})()"""
    )


def blocks(tab, board=1):
    return tab(
        f"Array.from(document.querySelectorAll('.board')[{board}].querySelectorAll('tbody th'), (c) => c.textContent)"
    )


def typed(tab, text):
    tab(f"""(() => {{ const box = document.querySelector("[type=search]"); box.value = {text!r};
        box.dispatchEvent(new Event("input", {{bubbles: true}})); }})()""")


@WIDTHS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_its_window_and_has_nothing_to_complain_about(show, study, width, scheme):
    tab = show(study, width, scheme=scheme)
    assert tab("document.documentElement.scrollWidth") <= width
    assert tab.complaints() == []
    assert [address[:8] for address in tab.requests()] == ["file:///"]


@WIDTHS
def test_long_names_scroll_in_their_own_box(show, make_record, width):
    names = {"at": ["layer" * 60], "hardware": "GPU" * 100}
    tab = show([make_record(0.9, 0, "A" * 90, **names)], width)
    assert tab("document.documentElement.scrollWidth") <= width


@WIDTHS
@pytest.mark.parametrize("scripts", [True, False])
def test_what_has_no_room_is_left_out_and_offered(show, study, width, scripts):
    tab = show(study, width, scripts=scripts)
    wide = tab(
        "Array.from(document.querySelectorAll('.scroll')).filter((b) => b.scrollWidth > b.clientWidth + 1).length"
    )
    assert (wide == 0) == scripts or width > 600
    if not scripts:
        return
    cut = "document.querySelectorAll('.board .columns')[1]"
    assert tab(f"{cut}.hidden") != ("left out for width" in tab(f"{cut}.textContent"))
    assert width > 600 or not tab(f"{cut}.hidden")
    heads = "document.querySelectorAll('.board')[1].querySelectorAll('thead th:not([hidden])')"
    shown = f"Array.from({heads}, (head) => head.textContent)"
    assert tab(shown)[:1] == ["Block"] or tab(shown)[:2] == ["Rank", "Block"]
    assert "top1 %" in tab(shown)


def test_a_column_that_was_left_out_comes_back_by_keyboard_and_its_box_scrolls(show, study):
    tab = show(study, 390)
    tab("document.querySelectorAll('.board .columns')[1].open = true")
    box = "document.querySelectorAll('.board')[1].querySelector('.columns input[value=\"0\"]')"
    assert not tab(f"{box}.checked")
    for _ in range(8):
        off = "document.querySelectorAll('.board')[1].querySelector('.columns input:not(:checked)')"
        tab(f"{off} && {off}.click()")
    assert tab(f"{box}.checked")
    scroll = "document.querySelectorAll('.board')[1].querySelector('.scroll')"
    assert tab(f"{scroll}.scrollWidth > {scroll}.clientWidth && {scroll}.tabIndex === 0")
    assert tab("document.documentElement.scrollWidth") <= 390
    tab("document.querySelectorAll('.board')[1].querySelector('.columns button').click()")
    assert tab(f"{scroll}.scrollWidth <= {scroll}.clientWidth + 1")


@pytest.mark.parametrize("width", [1280, 390])
def test_names_in_a_plot_hide_neither_each_other_nor_its_edge(show, study, width):
    tab = show(study, width)
    over = tab(
        """(() => {
          const found = [];
          for (const svg of document.querySelectorAll(".board figure svg")) {
            if (!svg.getClientRects().length) continue;
            const frame = svg.getBoundingClientRect();
            const boxes = Array.from(svg.querySelectorAll(".name"), (text) => text.getBoundingClientRect());
            boxes.forEach((a, i) => {
              if (a.right > frame.right + 1 || a.left < frame.left - 1) found.push("edge");
              for (const b of boxes.slice(i + 1)) {
                const across = a.left < b.right && b.left < a.right;
                if (across && a.top + 2 < b.bottom && b.top + 2 < a.bottom) found.push("hidden");
              }
            });
            if (!boxes.length) found.push("nameless");
          }
          return found;
        })()"""
    )
    assert over == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(show, study, scheme):
    """The contrast of WCAG 2 level AA, 4.5 : 1, for every element with text of its own."""
    tab = show(study, scheme=scheme)
    weak = tab(
        """(() => {
          const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
          const light = (color) => rgb(color).slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const back = (element) => {
            for (let at = element; at; at = at.parentElement) {
              const color = getComputedStyle(at).backgroundColor;
              if (rgb(color)[3] !== 0) return color;
            }
          };
          const own = (element) => Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
          const shown = Array.from(document.querySelectorAll("body *:not(script, svg title, desc)"));
          return shown.filter(own).map((element) => {
            const style = getComputedStyle(element);
            const [a, b] = [light(element.closest("svg") ? style.fill : style.color), light(back(element))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 80)];
          }).filter(([contrast]) => contrast < 4.5);
        })()"""
    )
    assert weak == []


def test_a_header_sorts_up_and_down_and_says_so(show, study):
    tab = show(study)
    assert clicked(tab, "top1 %") == "descending"
    rows = "document.querySelectorAll('.board')[1].querySelectorAll('tbody tr')"
    scores = f"Array.from({rows}, (row) => Number(row.cells[4].dataset.value))"
    values = tab(scores)
    assert len(values) == 8
    assert values == sorted(values, reverse=True)
    assert clicked(tab, "top1 %") == "ascending"
    assert tab(scores) == sorted(values)
    assert clicked(tab, "Block") == "ascending"
    assert blocks(tab) == sorted(blocks(tab), key=str.lower)
    assert tab("document.querySelectorAll('.board')[1].querySelectorAll('[aria-sort]').length") == 1


def test_unknown_values_come_last_in_both_directions(show, study):
    tab = show(study)
    for _ in range(2):
        clicked(tab, "Difference (pairs)")
        assert blocks(tab)[-2:] == ["none", "none"]


def test_headers_work_by_keyboard(show, study):
    tab = show(study)
    tab("document.querySelector('.board thead button').focus()")
    tab.press("Tab")
    tab.press("Enter")
    assert tab("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    assert tab("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_words_filter_the_rows(show, study):
    tab = show(study)
    typed(tab, "SPECTRAL stage2")
    assert tab(STATUS) == "1 of 4 rows"
    assert tab("document.querySelectorAll('.board')[0].querySelector('tbody th').textContent").startswith("Spectral")
    typed(tab, "no such block")
    assert tab(STATUS) == "No row matches."


def test_where_less_is_better_a_click_begins_with_the_least(show, make_record):
    error = Metric("rmse", unit="mm", low=0, higher_is_better=False)
    told = {"primary": "rmse", "higher_is_better": False, "scales": {"rmse": error.scale()}}
    values = {None: 3.0, "Nonlocal": 4.0, "SpectralNonlocal": 2.0}
    tab = show(make_record(0, 0, block, metrics={"rmse": value}, **told) for block, value in values.items())
    assert clicked(tab, "rmse mm", 0) == "ascending"
    assert blocks(tab, 0) == ["SpectralNonlocal @ stage2.1", "none", "Nonlocal @ stage2.1"]
    assert clicked(tab, "rmse mm", 0) == "descending"
    assert clicked(tab, "Parameters", 0) == "descending"


def test_boxes_filter_backbones_blocks_seeds_and_the_front(show, study, make_record, config):
    config["data"]["class_path"] = "blockyard.datamodules.Digits"
    tab = show([*study, make_record(0.5, 0, "CrissCross")])
    section = "document.querySelectorAll('.board')[1]"
    count = f"{section}.querySelectorAll('tbody tr').length"
    assert tab(count) == 9
    tab(f"{section}.querySelector('[data-only=sure]').click()")
    assert tab(count) == 8
    tab(f"{section}.querySelector('[data-backbone=\"0\"]').click()")
    assert tab(count) == 4
    tab(f"{section}.querySelector('[data-all=family]').click()")
    assert tab(count) == 0
    tab(f"{section}.querySelector('[data-all=family]').click()")
    tab(f"{section}.querySelector('[data-all=backbone]').click()")
    tab(f"{section}.querySelector('[data-only=front]').click()")
    assert 0 < tab(count) < 8


def test_rows_come_in_pages(show, many):
    tab = show(many)
    assert len(tab(BLOCKS)) == PAGE
    assert tab(STATUS) == "1–50 of 120 rows"
    tab("document.querySelector('[data-step=\"1\"]').click()")
    tab("document.querySelector('[data-step=\"1\"]').click()")
    assert tab(STATUS) == "101–120 of 120 rows"
    assert tab("document.querySelector('[data-step=\"1\"]').disabled")
    assert len(tab(BLOCKS)) == 20
    typed(tab, "stage11")
    assert tab(STATUS) == "11 of 120 rows"


def test_all_rows_are_printed(show, many):
    tab = show(many)
    tab(
        "window.printed = 0; window.addEventListener('beforeprint', () => { window.printed = "
        "document.querySelectorAll('.board tbody tr').length })"
    )
    tab.send("Page.printToPDF")
    assert tab("window.printed") == len(many)
    assert len(tab(BLOCKS)) == PAGE


def test_a_table_fits_on_paper(show, study):
    width = 1032  # A4 across at 96 dots an inch, less its margins
    tab = show(study, width, media="print")
    assert tab("document.documentElement.scrollWidth") <= width
    assert tab("Array.from(document.querySelectorAll('.controls, .pager')).every((box) => box.offsetHeight === 0)")


def test_without_scripts_all_rows_are_there(show, many):
    tab = show(many, scripts=False)
    assert tab("Array.from(document.querySelectorAll('tbody tr')).filter((r) => r.offsetHeight > 0).length") >= len(
        many
    )


def test_text_of_records_does_nothing(show, make_record, config):
    config["model"]["init_args"]["backbone"]["init_args"]["name"] = HOSTILE
    fields = {"hardware": HOSTILE, "metrics": {"top1": 0.5, HOSTILE: 0.5}}
    tab = show([make_record(0, seed, block, at=[HOSTILE], **fields) for block in (None, "A") for seed in range(3)])
    assert tab("document.title") == "Leaderboard"
    assert tab("document.images.length") == 0
    assert HOSTILE in tab("document.querySelectorAll('.board tbody th')[1].textContent")
    assert tab.complaints() == []


def test_the_policy_lets_no_other_script_run(show, study):
    """The second line of defence, should text ever get out of its place."""
    tab = show(study)
    tab("""(() => { const script = document.createElement("script"); script.textContent = "document.title = 'hacked'";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\\"document.title='hacked'\\">"); })()""")
    assert tab("document.title") == "Leaderboard"
    assert "Content Security Policy" in str(tab.complaints())
