"""The matrix says what the intervals say, and selects nothing."""

import csv
import io

import pytest

from blockyard.leaderboard.matrix import comparisons, matrix, verdict
from blockyard.leaderboard.render import comma_separated, markdown
from blockyard.leaderboard.statistics import Estimate
from blockyard.leaderboard.tables import tables


@pytest.fixture
def study(make_record):
    """Nonlocal better at one place and unclear at another, GlobalContext worse."""
    gains = {("Nonlocal", "stage2.1"): (0.02, 0.021, 0.022), ("Nonlocal", "stage3.1"): (-0.02, 0.0, 0.05)}
    gains |= {("GlobalContext", "stage2.1"): (-0.02, -0.021, -0.022)}
    baseline = [make_record(0.9, seed) for seed in range(3)]
    return baseline + [
        make_record(0.9 + gain, seed, block, at=[place])
        for (block, place), row in gains.items()
        for seed, gain in enumerate(row)
    ]


@pytest.mark.parametrize(
    ("mean", "half_width", "n", "higher", "said"),
    [
        (0.02, 0.01, 3, True, "better"),
        (0.02, 0.01, 3, False, "worse"),
        (-0.02, 0.01, 5, True, "worse"),
        (-0.02, 0.01, 5, False, "better"),
        (0.02, 0.03, 5, True, "unclear"),
        (0.02, 0.02, 5, True, "unclear"),
        (0.02, 0.01, 2, True, "unclear"),
        (0.02, None, 1, True, "unclear"),
        (0.02, None, 5, True, "unclear"),
    ],
)
def test_a_verdict_needs_three_pairs_and_an_interval_without_zero(mean, half_width, n, higher, said):
    assert verdict(Estimate(mean, half_width, n), higher) == said


def test_every_comparison_of_a_block_is_counted(study):
    found = comparisons(tables(study))
    assert list(found) == ["Nonlocal", "GlobalContext"]
    assert sorted(round(d.mean, 3) for d in found["Nonlocal"][0]) == [0.01, 0.021]


def test_cells_say_it_in_words_and_signs(study):
    text = matrix(tables(study))
    row = text[text.index(">Nonlocal</th>") :]
    assert 'class="better"><span class="better"><span aria-hidden="true">▲</span> 1 better</span>' in row
    assert '<span class="unclear"><span aria-hidden="true">≈</span> 1 unclear</span><small>+1.00 … +2.10</small>' in row
    assert '<span aria-hidden="true">▼</span> worse</span><small>-2.10\u00a0±\u00a00.25 (3)</small>' in row


@pytest.mark.parametrize(
    ("better", "worse", "unclear", "kind"),
    [(1, 0, 1, "better"), (1, 0, 2, "some-better"), (0, 1, 2, "some-worse"), (1, 1, 0, "mixed"), (0, 0, 2, "unclear")],
)
def test_a_cell_is_coloured_by_what_at_least_half_say(better, worse, unclear, kind, make_record):
    signs = [1] * better + [-1] * worse + [0] * unclear
    records = [make_record(0.9 - 0.001 * seed, seed) for seed in range(3)]
    records += [
        make_record(0.9 + 0.02 * sign + 0.001 * (seed % 2), seed, "Nonlocal", at=[f"stage{place}"])
        for place, sign in enumerate(signs)
        for seed in range(3)
    ]
    assert f'<td class="{kind}">' in matrix(tables(records))


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("gain", [0.0, 0.02, -0.02])
def test_differences_that_are_all_equal_are_unclear_in_every_table(seeds, gain, make_record):
    """No seed moves them: no interval, no p, no verdict, on the page, in Markdown and in CSV."""
    made = tables(
        make_record(0.9 + 0.01 * seed + (gain if block else 0), seed, block)
        for block in (None, "Nonlocal")
        for seed in range(seeds)
    )
    shown = f"{100 * gain:+.2f} ({seeds}{'*' if seeds < 3 else ''})"
    assert f"unclear</span><small>{shown}</small>" in matrix(made)
    assert not set("▲▼") & set(matrix(made))
    _, row = csv.DictReader(io.StringIO(comma_separated(made)))
    assert (row["difference_ci95"], row["p_holm"], row["pairs"]) == ("", "", str(seeds))
    assert f"| {shown.replace('*', chr(92) + '*')} |" in markdown(made)
    assert " ± 0.00" not in markdown(made)


def test_long_names_break_between_words(make_record):
    assert "Spectral<wbr>Nonlocal</th>" in matrix(tables([make_record(0.9, 0, "SpectralNonlocal"), make_record(0.9)]))


def test_what_was_not_tried_has_no_data(study, make_record, config):
    config["data"]["class_path"] = "blockyard.datamodules.CIFAR10"
    other = [make_record(0.5, seed, block) for block in (None, "SpectralNonlocal") for seed in range(3)]
    text = matrix(tables([*study, *other]))
    assert text.count("no data") == 3
    assert 'href="#table-1">CIFAR10</a><small>Image<wbr>Classification, top1 %' in text
    assert 'href="#table-2">Digits</a>' in text
