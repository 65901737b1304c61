"""No line is longer than the terminal is wide, and what had no room is named."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from blockyard.commands import catalogue
from blockyard.commands.package_options import blocks
from blockyard.leaderboard import main
from blockyard.leaderboard.columns import columns
from blockyard.leaderboard.console import PIPE
from blockyard.leaderboard.record import write
from blockyard.leaderboard.render import cells, markdown
from blockyard.leaderboard.tables import tables
from blockyard.leaderboard.terminal import SHOWN, print_in_parts, print_tables


@pytest.fixture
def study(make_record):
    """A baseline and two blocks with six seeds each, one of a long name."""
    blocks = {None: 0.0, "Nonlocal": 0.011, "A" * 60: 0.03}
    metrics = {"loss": 1.2, "ece": 0.05, "macro_accuracy": 0.8, "macro_f1": 0.7}
    return [
        make_record(0, seed, block, metrics={"top1": 0.9 + gain + 0.001 * (seed * seed % 5), **metrics})
        for block, gain in blocks.items()
        for seed in range(6)
    ]


def printed(made, width, names=()):
    console = Console(width=width, file=io.StringIO())
    print_tables(made, console, names)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 160, 240])
def test_every_column_is_shown_or_named(study, width):
    made = tables(study)
    text = printed(made, width)
    assert max(map(cell_len, text.splitlines())) <= width
    words = " ".join(text.split())
    said = words.partition("left out for width: ")[2].partition(";")[0].split(", ")
    header, row, *_ = cells(made[0])
    for column, name, cell in zip(columns(made[0]), header, row, strict=True):
        shown = column.key not in said
        assert shown or not column.label
        assert not shown or (name.split()[0] in words and cell in words)
    assert ("left out for width" in text) == (width < 240)
    if width == 80:
        assert {"score", "difference", "p"}.isdisjoint(said)


def test_asked_for_columns_stay_in_the_order_asked(study):
    text = printed(tables(study), 80, ["memory", "throughput", "macs", "score", "parameters", "difference"])
    head = next(line for line in text.splitlines() if "Block" in line)
    assert head.index("Peak memory") < head.index("Samples/s") < head.index("MACs")
    said = " ".join(text.split()).partition("left out for width: ")[2]
    assert said.startswith("parameters, difference; --columns parameters,difference shows those")


def test_a_long_table_is_cut_and_says_so(make_record):
    (table,) = tables([make_record(0.5, 0, "A", at=[f"stage{number}"]) for number in range(SHOWN + 3)])
    text = printed([table], 240)
    assert text.count("A @ stage") == SHOWN
    assert "3 more rows: --html, --csv and --markdown write them all" in text
    assert markdown([table]).count("A @ stage") == SHOWN + 3


def test_the_columns_of_a_long_table_are_those_of_all_its_rows(make_record, config):
    """Only behind the rows that are shown there is a second backbone."""
    records = [make_record(0.5, 0, "A", at=[f"stage{number}"]) for number in range(SHOWN + 1)]
    config["model"]["init_args"]["backbone"]["init_args"]["depth"] = 56
    assert "Backbone" in printed(tables([*records, make_record(0.4)]), 240)


def test_a_table_without_names_goes_on_below(capsys):
    rows = [["Block", *(f"ability {n}" for n in range(9))], ["Nonlocal", *(f"{n}0.0 ± 1.0" for n in range(9))]]
    console = Console(width=60, file=io.StringIO())
    print_in_parts(rows, 1, console)
    text = console.file.getvalue()
    assert all(cell in text for cell in (*rows[0], *rows[1]))
    assert text.count("Nonlocal") > 1
    assert max(map(cell_len, text.splitlines())) <= 60


@pytest.mark.parametrize("width", [None, 80, 120])
def test_both_verbs_obey_the_width_that_the_shell_tells(study, width, tmp_path, monkeypatch, capsys):
    for record in study:
        write(record, tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    if width:
        monkeypatch.setenv("COLUMNS", str(width))
    assert main(["--records", str(tmp_path)]) == 0
    board = capsys.readouterr().out
    assert catalogue.main(blocks().parse_args([]), []) == 0
    for text in (board, capsys.readouterr().out):
        assert max(map(cell_len, text.splitlines())) <= (width or PIPE)
        assert ("left out for width" in text) == (width == 80 or (width == 120 and text == board))


def test_columns_of_the_blocks_are_chosen(capsys):
    assert catalogue.main(blocks().parse_args(["ECA", "--columns", "year,Block,macs", "--shape", "8x4x4"]), []) == 0
    head, _, row, *_ = (line.split() for line in capsys.readouterr().out.splitlines() if line.strip())
    assert head == ["block", "year", "MACs", "at", "8x4x4"]
    assert row[:2] == ["ECA", "2020"]
    with pytest.raises(ValueError, match="no column papr; did you mean paper") as error:
        catalogue.main(blocks().parse_args(["--columns", "papr"]), [])
    assert "there are block, slot, ranks, parameters, macs, year, paper" in str(error.value)
