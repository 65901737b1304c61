"""LaTeX tables are well formed, set any text as it is, and are bold only where a difference is significant."""

import re

import pytest

from blockyard.leaderboard.latex import best, escaped, latex
from blockyard.leaderboard.tables import tables

HOSTILE = r"\input{/etc/passwd} 100% & $x_1^2$ #~{}[*]<>"


@pytest.fixture
def study(make_record):
    """Nonlocal better by much, GlobalContext by a little, with five seeds each."""

    def runs(block, gain, **fields):
        return [make_record(0.9 + gain + 0.001 * (seed * seed % 3), seed, block, **fields) for seed in range(5)]

    return runs(None, 0), runs("Nonlocal", 0.05), runs("GlobalContext", 0.002)


def jitter(records):
    """The same with a spread that is not that of the baseline, so that differences have an interval."""
    return [
        type(record)(**{**vars(record), "metrics": {**record.metrics, "top1": record.metrics["top1"] + 1e-3 * (i % 2)}})
        for i, record in enumerate(records)
    ]


def bold(text):
    return re.findall(r"\\textbf\{([^{}]*)\}", text)


def test_the_best_is_bold_only_where_its_difference_is_significant(study):
    none, better, little = study
    made = tables([*none, *jitter(better), *jitter(little)])
    assert bold(latex(made))[0] == "Nonlocal @ stage2.1"
    assert len(bold(latex(made))) == 2  # its name and its score
    (table,) = tables([*none, *jitter(little)])
    insignificant = table.rows[1].p is None or table.rows[1].p >= 0.05
    assert bool(best(table.rows, True)) != insignificant


@pytest.mark.parametrize("seeds", [3, 4])
def test_with_fewer_than_five_pairs_nothing_is_bold(study, seeds):
    none, better, _ = study
    assert bold(latex(tables([*none[:seeds], *jitter(better)[:seeds]]))) == []


def test_a_block_that_is_worse_is_not_bold(study):
    none, better, _ = study
    low = [type(r)(**{**vars(r), "metrics": {**r.metrics, "top1": r.metrics["top1"] - 0.2}}) for r in jitter(better)]
    (table,) = tables([*none, *low])
    assert table.rows[1].p < 0.05
    assert best(table.rows, True) == set()


def test_it_is_a_whole_table(study):
    none, better, _ = study
    text = latex(tables([*none, *jitter(better)]))
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    places = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert places == "lrrrrr"
    assert {line.count(" & ") for line in lines} == {len(places) - 1}
    assert r"\textbf{95.10 $\pm$ 0.09} & +5.04 $\pm$ 0.07 (5)" in text
    assert "5 seeds" not in text


def test_text_of_records_is_set_as_it_is(make_record):
    text = latex(tables([make_record(0.9, 0, "A", at=[HOSTILE])]), ["score"])
    (row,) = (line for line in text.splitlines() if line.startswith("A @"))
    assert r"\input" not in text
    assert escaped(HOSTILE) in row
    assert row.count("&") == 2  # one of them escaped
    assert "{[}{*}]" in row
    assert re.sub(r"\\.", "", row).count("{") == re.sub(r"\\.", "", row).count("}")


def test_negative_numbers_have_a_minus(study):
    none, better, _ = study
    text = latex(tables([*better, *none]), ["difference"])
    assert "$-$" not in text
    low = [type(record)(**{**vars(record), "metrics": {**record.metrics, "top1": 0.5}}) for record in better]
    assert re.search(r"& \$-\$4\d\.\d\d ", latex(tables([*none, *low]), ["difference"]))
