"""Records that state unit, bounds and direction of a metric are ranked, drawn and told apart by it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockyard.leaderboard.add import add
from blockyard.leaderboard.bootstrap import averaged_score
from blockyard.leaderboard.matrix import matrix
from blockyard.leaderboard.page import page
from blockyard.leaderboard.pareto import front
from blockyard.leaderboard.record import Record, RecordError, problems, read, write
from blockyard.leaderboard.render import cells, comma_separated, markdown, title
from blockyard.leaderboard.scores import impossible, write_scores
from blockyard.leaderboard.tables import tables
from blockyard.metrics import Metric

PSNR, SSIM = Metric("psnr", unit="dB", low=0), Metric("ssim", low=-1, high=1)
RMSE = Metric("rmse", unit="mm", low=0, higher_is_better=False)
PERCENT = Metric("accuracy", unit="%", low=0, high=100)
COMMITTED = sorted((Path(__file__).parents[2] / "leaderboard" / "records").glob("*.json"))


@pytest.fixture
def scored(make_record):
    """``scored(metric, value, seed, block, others={metric: value})``: a record that is ranked by a metric."""

    def make(metric, value, seed=0, block=None, others=None, **fields):
        values = {metric: value} | (others or {})
        return make_record(
            0,
            seed,
            block,
            metrics={one.name: number for one, number in values.items()},
            primary=metric.name,
            higher_is_better=metric.higher_is_better,
            scales={one.name: one.scale() for one in values},
            **fields,
        )

    return make


@pytest.fixture
def study(scored):
    """``study(metric, start, gain)``: a baseline, a block that is larger by a gain, and one that is smaller."""

    def make(metric, start, gain):
        return [
            scored(metric, start + sign * gain + 0.01 * gain * seed * (1 + bool(block)), seed, block)
            for block, sign in ((None, 0), ("Larger", 1), ("Smaller", -1))
            for seed in range(5)
        ]

    return make


@pytest.mark.parametrize("metric", [PSNR, RMSE, PERCENT], ids=lambda metric: metric.name)
def test_the_best_is_first_and_called_better_whatever_the_direction(study, metric):
    (table,) = tables(study(metric, 30.0, 2.0))
    better, worse = ("Larger", "Smaller") if metric.higher_is_better else ("Smaller", "Larger")
    assert [row.family for row in table.rows] == ["none", better, worse]
    _, *lines = matrix([table]).partition("<tbody>")[2].split("<tr>")
    assert [(line.split("</th>")[0].rpartition(">")[2], "▲" in line) for line in lines] == [(better, 1), (worse, 0)]
    assert "▼" in lines[1]
    alike = [dataclasses.replace(row, macs=1) for row in table.rows]
    assert front(alike, metric.higher_is_better) == {table.rows[1].experiment}


def test_numbers_are_shown_in_their_unit(study):
    (table,) = tables(study(PSNR, 30.0, 2.0))
    header, baseline, larger, _ = cells(table)
    assert header[2] == "psnr dB"
    assert (baseline[2], larger[2], larger[3][:7]) == ("30.0400 ± 0.0393", "32.0800 ± 0.0785", "+2.0400")
    assert title(table).endswith(": psnr in dB, at least 0, higher is better")
    text = page([table])
    assert "Ranked by psnr in dB, at least 0, higher is better." in text
    assert "psnr dB</text>" in text
    assert "%" not in text.partition("<main>")[2].partition("Score against MACs")[0].replace("95 %", "").replace(
        "% MACs", ""
    )


def test_a_tiny_error_is_no_zero(study):
    (table,) = tables(study(Metric("mse", low=0, higher_is_better=False), 3e-5, 1e-5))
    _, baseline, smaller, _ = cells(table)
    assert smaller[2].startswith("2.04e-05 ± ")
    assert smaller[3].startswith("-9.8e-06 ± ")
    assert baseline[2].startswith("3.02e-05")
    assert all(words in page([table]) for words in (">30</text>", "mse, in 10⁻⁶</text>"))
    (table,) = tables(study(Metric("perplexity", low=1, higher_is_better=False), 123456.0, 3000.0))
    assert all(words in page([table]) for words in (">124</text>", "perplexity, in 10³</text>"))


def test_a_click_on_what_is_better_lower_begins_with_the_least(study):
    def least_first(metric):
        board = page(tables(study(metric, 30.0, 2.0))).partition('class="board"')[2]
        heads = board.partition("<thead>")[2].partition("</thead>")[0].split("</th>")
        return [head.rpartition(">")[2] for head in heads if "data-lower-first" in head]

    always = ["Rank", "p"]
    assert [name for name in least_first(RMSE) if name not in always] == ["rmse mm", "Difference (pairs)"]
    assert [name for name in least_first(PSNR) if name not in always] == []


def test_what_is_stated_otherwise_has_a_table_of_its_own(scored, make_record):
    stated = [PSNR, Metric("psnr", low=0), Metric("psnr", unit="dB", low=0, high=99), Metric("psnr", unit="dB", low=0)]
    stated.append(Metric("psnr", unit="dB", low=0, higher_is_better=False))
    made = tables(scored(metric, 31.0, seed) for seed, metric in enumerate(stated))
    assert sorted(len(table.rows[0].others) + table.rows[0].score.n for table in made) == [1, 1, 1, 2]
    assert len({title(table) for table in made}) == 4
    assert len({row["primary"] for row in csv.DictReader(io.StringIO(comma_separated(made)))}) == 4


def test_what_a_record_states_does_not_enter_the_table_of_those_that_state_nothing(make_record):
    """57 is no fraction: from outside, it would lead every table of accuracies."""
    loud = make_record(57.0, 1, scales={"top1": Metric("top1", low=0, high=100).scale()})
    quiet = make_record(0.9, 0, scales={"top1": Metric("top1", low=0.0, high=1.0).scale()})
    honest, other = tables([make_record(0.8, 2), quiet, loud])
    assert (honest.rows[0].score.n, other.rows[0].score.mean) == (2, 57.0)
    assert title(other).endswith("top1, from 0 to 100, higher is better")
    assert title(honest).endswith("top1, higher is better")


def test_other_metrics_of_one_name_have_columns_of_their_own(scored):
    half = Metric("ssim", low=-0.5, high=0.5)
    records = [scored(PSNR, 30.0, 0, None, {SSIM: 0.9, RMSE: 2.0}), scored(PSNR, 31.0, 0, "A", {half: 0.4, RMSE: 2.0})]
    (table,) = tables(records)
    header, none, a = cells(table)
    assert header[4:7] == [
        "rmse mm",
        "ssim, from -1 to 1, higher is better",
        "ssim, from -0.5 to 0.5, higher is better",
    ]
    assert (none[4:7], a[4:7]) == (["2.0000", "0.9000", "–"], ["2.0000", "–", "0.4000"])
    mixed = [scored(PSNR, 30.0, 0, None, {SSIM: 0.9}), scored(PSNR, 31.0, 1, None, {half: 0.4})]
    assert tables(mixed)[0].rows[0].others == {}


def test_units_from_outside_are_text(scored):
    (table,) = tables(
        [scored(Metric("psnr", unit="<img src=x>"), 30.0), scored(Metric("psnr", unit="<img src=x>"), 1.0, 1)]
    )
    assert "<img" not in page([table])
    assert "\\<img" in markdown([table])
    formula = Metric("=1+1", unit="dB")
    assert "'=1+1 dB," in comma_separated(tables([scored(PSNR, 30.0, others={formula: 2.0})]))


def test_a_record_says_what_its_metrics_are_and_reads_it_back(scored, tmp_path):
    record = scored(PSNR, 31.5, others={SSIM: -0.25, RMSE: 4.0})
    again = read(write(record, tmp_path))
    assert again == record
    assert [again.metric(name) for name in ("psnr", "ssim", "rmse")] == [PSNR, SSIM, RMSE]
    assert again.metric("loss") == Metric("loss", higher_is_better=False)


def test_a_record_that_states_nothing_has_no_field_for_it(make_record, tmp_path):
    assert "scales" not in json.loads(write(make_record(0.9), tmp_path).read_text())


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_records_are_written_as_they_are(path, tmp_path):
    record = read(path)
    labels = {name: json.loads(path.read_text())[name] for name in ("backbone", "block")}
    assert write(dataclasses.replace(record, **labels), tmp_path).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("scale", "line"),
    [
        ("dB", "scales: metric psnr: 'dB'; allowed are unit, low, high, higher_is_better"),
        ({"unit": "dB"}, "scales: metric psnr: {'unit': 'dB'}; allowed are unit, low, high, higher_is_better"),
        (PSNR.scale() | {"name": "x"}, "allowed are unit, low, high, higher_is_better"),
        (PSNR.scale() | {"unit": "\x1b[2J"}, r"scales: metric psnr: unit '\x1b[2J'; allowed is a text of at most 12"),
        (PSNR.scale() | {"unit": ["dB"]}, "unit ['dB']; allowed is a text"),
        (PSNR.scale() | {"low": float("nan")}, "scales: metric psnr: low nan; allowed is a finite number"),
        (PSNR.scale() | {"low": 10**30}, "allowed is a finite number"),
        (
            PSNR.scale() | {"low": 40, "high": 20},
            "scales: metric psnr: low 40, high 20; allowed is a low below the high",
        ),
        (PSNR.scale() | {"high": 20}, "metrics.psnr: 31.5; allowed is a number from 0 to 20 dB"),
        (PSNR.scale() | {"low": 32}, "metrics.psnr: 31.5; allowed is a number of at least 32 dB"),
        (PSNR.scale() | {"higher_is_better": "yes"}, "higher_is_better 'yes'; allowed is true or false"),
        (
            PSNR.scale() | {"higher_is_better": False},
            "higher_is_better is not what the record says of its primary metric",
        ),
    ],
)
def test_a_scale_from_outside_is_refused_in_one_line(scored, tmp_path, scale, line):
    path = write(scored(PSNR, 31.5), tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scales": {"psnr": scale}}))
    with pytest.raises(RecordError) as refusal:
        read(path)
    message = str(refusal.value)
    assert line in message
    assert message.isprintable()


def test_the_first_version_of_records_knows_no_scales(scored, tmp_path):
    path = write(scored(PSNR, 31.5), tmp_path)
    fields = json.loads(path.read_text()) | {"schema": 1}
    path.write_text(json.dumps(fields))
    with pytest.raises(RecordError, match="'scales': unknown field"):
        read(path)


def test_scores_of_samples_are_held_against_what_the_record_states(scored, tmp_path):
    values = np.array([28.0, 31.0, 35.5], np.float32)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    record = scored(PSNR, 31.5, test_samples=3)
    name, digest = write_scores({"psnr": values}, theirs, record.run)
    path = write(dataclasses.replace(record, scores=name, scores_sha256=digest), theirs)
    assert add([path], ours) == {"added": 1}
    tight = PSNR.scale() | {"high": 33}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scales": {"psnr": tight}}))
    assert add([path], tmp_path / "none") == {"refused": 1}


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([-1.0, 1.0000001], None),  # a float32 mean
        ([0.5, -1.1], "'ssim' holds -1.1; allowed is a number from -1 to 1"),
        ([0.5, np.inf], "'ssim' holds inf; allowed is a number from -1 to 1"),
        ([0.5, np.nan], "'ssim' holds nan"),
    ],
)
def test_impossible_scores_name_the_bounds(values, line):
    assert impossible({"ssim": np.array(values)}, 2, lambda name: SSIM) == line


def test_scores_without_bounds_are_finite_in_half_precision_too():
    values = np.array([1.0, np.inf], np.float16)
    assert impossible({"loss": values}, 2) == "'loss' holds inf; allowed is a finite number within ±1e18"


def test_a_tiny_mean_is_told_from_another(scored):
    """Errors of 3e-5 and 2.5e-5 differ by less than what separates two accuracies."""
    record = scored(Metric("mse", low=0, higher_is_better=False), 3e-5)
    other = {"other": np.array([2e-5, 3e-5], np.float32)}
    with pytest.raises(ValueError, match="mse is not the mean of a stored score"):
        averaged_score([(record, other)])
    own = {"mse": np.array([2e-5, 4e-5], np.float32)}
    assert averaged_score([(record, other | own)]) == "mse"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*PSNR.scale(), "x"]), inner, max_size=4)
    ),
    max_leaves=4,
)
scale = st.fixed_dictionaries(dict.fromkeys(PSNR.scale(), plain)) | plain


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["psnr", "loss", "x"]) | st.text(max_size=3), scale, max_size=2), plain)
def test_whatever_a_record_states_is_taken_or_refused_in_printable_lines(scored, scales, value):
    fields = dataclasses.asdict(scored(PSNR, 31.5)) | {"scales": scales, "metrics": {"psnr": value}}
    assert all(line.isprintable() for line in problems(fields))
    if not problems(fields):
        assert "psnr" in page(tables([Record(**fields)]))
