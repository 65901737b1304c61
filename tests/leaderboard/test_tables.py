"""The leaderboard is a pure function of records and says nothing that they do not."""

import csv
import io
import random

import pytest
from scipy import stats

from blockyard.leaderboard.columns import columns, rank
from blockyard.leaderboard.counting import count
from blockyard.leaderboard.render import cells, comma_separated, markdown, title
from blockyard.leaderboard.tables import tables
from blockyard.metrics import metric_named


@pytest.fixture
def study(make_record):
    """Baseline and two blocks with three seeds each."""
    scores = {None: (0.90, 0.91, 0.92), "Nonlocal": (0.91, 0.91, 0.91), "SpectralNonlocal": (0.92, 0.93, 0.96)}
    return [make_record(top1, seed, block) for block, row in scores.items() for seed, top1 in enumerate(row)]


def rows(records):
    (table,) = tables(records)
    return {row.block: row for row in table.rows}


def notes(records):
    (table,) = tables(records)
    return "\n".join(table.notes)


def test_rows_are_means_over_seeds_with_paired_differences(study):
    row = rows(study)["SpectralNonlocal @ stage2.1"]
    test = stats.ttest_rel([0.92, 0.93, 0.96], [0.90, 0.91, 0.92])
    assert row.score.mean == pytest.approx((0.92 + 0.93 + 0.96) / 3)
    assert row.difference.n == 3
    low, high = test.confidence_interval(0.95)
    assert row.difference.mean == pytest.approx((low + high) / 2)
    assert row.difference.half_width == pytest.approx((high - low) / 2)


def test_the_baseline_comes_first_and_then_the_best(study):
    (table,) = tables(study)
    assert [row.block for row in table.rows] == ["none", "SpectralNonlocal @ stage2.1", "Nonlocal @ stage2.1"]
    assert [row.is_baseline for row in table.rows] == [True, False, False]


def test_lower_may_be_better(make_record):
    loss = {"primary": "loss", "higher_is_better": False}
    records = [make_record(0, 0, block, metrics={"loss": value}, **loss) for block, value in (("A", 0.5), ("B", 0.4))]
    (table,) = tables(records)
    assert [row.block for row in table.rows] == ["B @ stage2.1", "A @ stage2.1"]


def test_the_order_of_records_does_not_matter(study):
    shuffled = study.copy()
    random.Random(0).shuffle(shuffled)
    assert tables(shuffled) == tables(study)


def test_repeats_are_compared_and_never_averaged_in(study, make_record):
    repeat = make_record(0.5, 0, repeat=1, finished="2025-02-01T00:00:00+00:00", hardware="Other CPU")
    assert rows([repeat, *study]) == rows(study)
    assert "Repeat, not averaged in: none, seed 0" in notes([repeat, *study])
    assert "top1 0.5000 after 0.9000 (-0.4000), on Other CPU instead of Test CPU" in notes([repeat, *study])


def test_the_first_record_of_a_run_counts_also_if_a_repeat_is_better(make_record):
    early, late = make_record(0.5), make_record(0.9, finished="2025-02-01T00:00:00+00:00")
    counted = count([late, early])
    assert list(counted.rows.values()) == [[early]]
    assert counted.repeats == [(early, late)]


def test_without_a_baseline_there_is_no_difference(study):
    row = rows([record for record in study if record.block != "none"])["Nonlocal @ stage2.1"]
    assert row.difference is None
    (table,) = tables([record for record in study if record.block != "none"])
    assert {row[3] for row in cells(table)[1:]} == {"–"}


def test_a_difference_uses_the_common_seeds_only(make_record):
    records = [
        make_record(0.9, 0),
        make_record(0.8, 1),
        make_record(0.85, 1, "Nonlocal"),
        make_record(0.1, 2, "Nonlocal"),
    ]
    difference = rows(records)["Nonlocal @ stage2.1"].difference
    assert (difference.n, difference.half_width) == (1, None)
    assert difference.mean == pytest.approx(0.05)


def test_a_baseline_of_other_training_is_no_baseline(make_record):
    records = [make_record(0.9, 0, settings={"max_epochs": 9}), make_record(0.95, 0, "Nonlocal")]
    assert rows(records)["Nonlocal @ stage2.1"].difference is None


def test_few_seeds_are_marked(study, make_record):
    records = [*study, make_record(0.99, 0, "GlobalContext"), make_record(0.98, 1, "GlobalContext")]
    (table,) = tables(records)
    seeds = {row[0]: row[1] for row in cells(table)[1:]}
    assert seeds["GlobalContext @ stage2.1"] == "2*"
    assert seeds["none"] == "3"


def test_throughput_is_compared_within_one_machine(study, make_record):
    other = [make_record(0.9, seed, "GlobalContext", hardware="Fast GPU", throughput=9000.0) for seed in range(3)]
    found = rows(study + other)
    assert found["GlobalContext @ stage2.1"].throughput is None
    assert found["none"].throughput == 500
    assert "on Test CPU, 2 threads; 3 records measured elsewhere left out." in notes(study + other)


def test_peak_memory_is_compared_among_equal_trainings(study, make_record):
    where = {"memory_kind": "cuda", "training_hardware": "Fast GPU", "world_size": 8}
    other = [make_record(0.9, seed, "GlobalContext", peak_memory=1, **where) for seed in range(3)]
    found = rows(study + other)
    assert found["GlobalContext @ stage2.1"].peak_memory is None
    assert found["none"].peak_memory == 2**29
    assert "1 process; 3 records measured elsewhere left out." in notes(study + other)


def test_tasks_and_data_sets_have_tables_of_their_own(study, make_record, config):
    config["data"]["class_path"] = "blockyard.datamodules.CIFAR10"
    other = make_record(0.5)
    assert [(table.data, len(table.rows)) for table in tables([*study, other])] == [("CIFAR10", 1), ("Digits", 3)]


def test_rows_of_one_name_say_what_they_differ_in(make_record):
    records = [make_record(0.9, settings={"max_epochs": epochs}) for epochs in (3, 9)]
    assert sorted(rows(records)) == ["none [max_epochs=3]", "none [max_epochs=9]"]


def test_notes_say_how_short_the_runs_are(study, make_record):
    assert "Runs: 3 epochs (187 steps) of training, tested on 1,000 samples." in notes(study)
    longer = make_record(0.9, 5, epochs=9.5, steps=None, test_samples=500)
    assert "Runs: 3–9.5 epochs (187 steps) of training, tested on 500–1,000 samples." in notes([*study, longer])


def test_notes_warn_of_mixed_code_and_of_changing_networks(study, make_record):
    assert "Attention" not in notes(study)
    other = make_record(0.9, 7, commit="ba9876543210-dirty", parameters=5)
    assert "2 versions of the code: 0123456789ab, ba9876543210-dirty" in notes([*study, other])
    assert "parameters or MACs differ between seeds of none" in notes([*study, other])


def test_cells_have_units_and_signs(study):
    (table,) = tables(study)
    header, baseline, spectral, _ = cells(table)
    assert dict(zip(header, baseline, strict=True)) == {
        "Block": "none",
        "Seeds": "3",
        "top1 %": "91.00 ± 2.48",  # 4.3027 · 0.01 / √3
        "Difference (pairs)": "–",
        "loss": "1.2000",
        "Parameters": "272,474",
        "MACs": "31.23 M",
        "Samples/s": "500",
        "Peak memory": "512 MiB",
    }
    assert spectral[3] == "+2.67 ± 2.87 (3)"  # 4.3027 · 0.011547 / √3


def test_backbones_have_a_column_if_there_are_several(study, make_record, config):
    config["model"]["init_args"]["backbone"]["init_args"]["depth"] = 56
    (table,) = tables([*study, make_record(0.5)])
    assert [row[:2] for row in cells(table)][-2:] == [
        ["Nonlocal @ stage2.1", "PreResNet(depth=20)"],
        ["none", "PreResNet(depth=56)"],
    ]
    assert "PreResNet" not in title(table)


def test_markdown_is_a_table_with_its_notes(study):
    lines = markdown(tables(study)).splitlines()
    assert lines[0] == "### ImageClassification on Digits, PreResNet(depth=20): top1, higher is better"
    grid = [line for line in lines if line.startswith("|")]
    assert len(grid) == 5
    assert len({line.count("|") for line in grid}) == 1
    assert sum(line.startswith("- ") for line in lines) == len(tables(study)[0].notes)


def test_markdown_takes_labels_literally(make_record):
    text = markdown(tables([make_record(0.9, 0, "Nonlocal", at=["layer*.*|<b>"])]))
    assert r"Nonlocal @ layer\*.\*\|\<b>" in text


def test_csv_is_unrounded_and_leaves_unknown_cells_empty(study):
    lines = list(csv.DictReader(io.StringIO(comma_separated(tables(study)))))
    assert [line["block"] for line in lines] == ["none", "SpectralNonlocal @ stage2.1", "Nonlocal @ stage2.1"]
    spectral = lines[1]
    assert float(spectral["score"]) == pytest.approx(0.9366666666666666, abs=1e-15)
    assert (spectral["pairs"], spectral["macs"], spectral["peak_memory"]) == ("3", "31234567", "536870912.0")
    assert (lines[0]["difference"], lines[0]["difference_ci95"], lines[0]["pairs"]) == ("", "", "0")


def five_seeds(make_record, block, gain):
    return [make_record(0.9 + 0.001 * seed + gain * (1 + seed % 2), seed, block) for seed in range(5)]


def test_significance_is_shown_from_five_pairs_on_and_corrected(make_record):
    baseline = [make_record(0.9 + 0.002 * seed**2 % 0.01, seed) for seed in range(5)]
    better, same = five_seeds(make_record, "Nonlocal", 0.02), five_seeds(make_record, "GlobalContext", 0.0)
    few = five_seeds(make_record, "SpectralNonlocal", 0.03)[:4]
    found = rows([*baseline, *better, *same, *few])
    reference = [record.metrics["top1"] for record in baseline]
    raw = [stats.ttest_rel([run.metrics["top1"] for run in runs], reference).pvalue for runs in (better, same)]
    assert raw[0] < raw[1]
    assert found["Nonlocal @ stage2.1"].p == pytest.approx(2 * raw[0])
    assert found["GlobalContext @ stage2.1"].p == pytest.approx(max(raw[1], 2 * raw[0]))
    assert found["SpectralNonlocal @ stage2.1"].p is None
    assert found["none"].p is None
    text = notes([*baseline, *better, *same, *few])
    assert "p: two-sided t test paired by seed, from 5 pairs on, corrected for the 2 comparisons" in text


def test_significance_has_a_column_only_where_there_is_some(study, make_record):
    assert "p" not in cells(tables(study)[0])[0]
    records = [make_record(0.9 + 0.002 * seed**2 % 0.01, seed) for seed in range(5)]
    (table,) = tables([*records, *five_seeds(make_record, "Nonlocal", 0.02)])
    header, baseline, row = cells(table)
    assert (baseline[header.index("p")], row[header.index("p")]) == ("–", f"{table.rows[1].p:.3f}")
    (_, line) = csv.DictReader(io.StringIO(comma_separated([table])))
    assert float(line["p_holm"]) == table.rows[1].p
    assert line["items_low"] == ""


def test_a_family_is_the_blocks_wherever_they_are(make_record):
    families = {row.family for row in rows([make_record(0.9, 0, "Nonlocal", at=[s]) for s in ("a.1", "b")]).values()}
    assert families == {"Nonlocal"}
    assert rows([make_record(0.9)])["none"].family == "none"


def test_a_metric_that_not_every_seed_has_is_left_out(make_record):
    older = make_record(0.9, 0, metrics={"top1": 0.9, "loss": 1.0})
    newer = make_record(0.9, 1, metrics={"top1": 0.9, "loss": 3.0, "ece": 0.05})
    assert rows([older, newer])["none"].others.keys() == {metric_named("loss")}


def test_who_scores_the_same_shares_a_rank(make_record):
    gains = {None: 0.90, "Nonlocal": 0.92, "SpectralNonlocal": 0.92, "GlobalContext": 0.91}
    (table,) = tables(make_record(top1, 0, block) for block, top1 in gains.items())
    place = rank(table)
    assert {row.family: place(row) for row in table.rows} == {
        "Nonlocal": 1,
        "SpectralNonlocal": 1,
        "GlobalContext": 3,
        "none": 4,
    }


def test_columns_are_those_that_were_asked_for_in_their_order(study):
    (table,) = tables(study)
    header, *body = cells(table, ["macs", "Top1", "rank", "top99"])
    assert header == ["Block", "MACs", "top1 %", "Rank"]
    assert [row[3] for row in body] == ["2", "1", "2"]
    assert cells(table)[0] == [column.header for column in columns(table)]
    assert "Rank" not in cells(table)[0]
    assert [column.key for column in columns(table, ["backbone"])] == ["block", "backbone"]


def test_ranks_are_in_the_order_of_their_numbers(make_record):
    metrics = {"mAP": 0.5, "rank20": 0.9, "rank5": 0.7, "rank1": 0.4, "rank10": 0.8}
    (table,) = tables([make_record(0, primary="mAP", metrics=metrics)])
    assert [column.key for column in columns(table) if column.key.startswith("rank")] == [
        *("rank1", "rank5", "rank10", "rank20")
    ]


def test_what_no_run_can_get_wrong_is_no_column(make_record):
    """Of at most five classes the five most probable are always right; older records say so all the same."""

    def run(seed, top5):
        return make_record(0.9, seed, metrics={"top1": 0.9, "top5": top5, "macro_f1": 1.0})

    certain, told = ({metric.name for metric in rows([run(0, 1.0), run(1, top5)])["none"].others} for top5 in (1, 0.99))
    assert certain == {"macro_f1"}
    assert told == {"macro_f1", "top5"}


def test_csv_has_the_columns_asked_for_with_their_intervals(study):
    text = comma_separated(tables(study), ["macs", "top1", "rank"])
    header, *body = csv.reader(io.StringIO(text))
    assert header[:7] == ["task", "data", "block", "backbone", "experiment", "baseline", "primary"]
    assert header[7:] == ["macs", "score", "score_ci95", "rank"]
    assert [line[-1] for line in body] == ["2", "1", "2"]
