"""The profile counts the runs of the diagnostics and no others, and marks what is significant."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from blockyard.leaderboard.page import page
from blockyard.leaderboard.profile import COLUMNS, CONFIGS, LEVEL, accuracy, packaged, profile, says
from blockyard.leaderboard.profile_picture import failed, picture, prediction_of
from blockyard.leaderboard.record import described
from blockyard.leaderboard.statistics import paired_p_value

SOLVES = (0.98, 0.99, 0.97, 0.98, 0.99)
CHANCE = (0.51, 0.49, 0.5, 0.52, 0.48)


@pytest.fixture
def run(make_record):
    """``run(column, accuracy, seed, block, trainer={}, **options of the block)``: the record of a diagnostic."""

    def make(column, score, seed=0, block=None, trainer=None, **options):
        config = deepcopy(packaged()[column])
        config["seed_everything"] = seed
        config["trainer"] |= {"accelerator": "auto", **(trainer or {})}
        config["data"]["init_args"] |= {"root": "data", "num_workers": 0}
        plugs = [
            {"block": {"class_path": block, "init_args": options}, "at": "stage2.0", "mode": "after", "gate": False}
        ]
        config["model"]["init_args"] |= {"block": None, "at": None, "plugs": plugs if block else None}
        metrics = {"mIoU": score / 2, "aAcc": score} if "Segmentation" in str(config["model"]) else {"top1": score}
        return replace(
            make_record(0.5), **described(config), config=config, metrics=metrics, primary=next(iter(metrics))
        )

    return make


@pytest.fixture
def records(run):
    """On two columns, no block at chance, Nonlocal above it, ECA not."""
    return [
        run(column, score, seed, block)
        for column in ("conjunction", "product")
        for block, scores in ((None, CHANCE), ("Nonlocal", SOLVES), ("ECA", CHANCE[::-1]))
        for seed, score in enumerate(scores)
    ]


def test_columns_are_the_packaged_configurations():
    assert set(COLUMNS) == {path.stem for path in CONFIGS.glob("*.yaml")}


def test_what_is_significant_is_marked(records):
    found = profile(records)
    assert found.columns == ("conjunction", "product")
    assert list(found.rows) == ["none", "Nonlocal", "ECA"]
    assert [cell.sign for cell in found.rows["Nonlocal"].values()] == ["▲", "▲"]
    assert all(cell.lifts for cell in found.rows["Nonlocal"].values())
    assert not any(cell.sign or cell.lifts for name in ("none", "ECA") for cell in found.rows[name].values())
    assert found.texts()[1] == ["none", "50.0 ± 2.0", "50.0 ± 2.0"]


def test_significance_is_corrected_for_all_cells(records):
    raw = paired_p_value(dict(enumerate(SOLVES)), dict(enumerate(CHANCE)), least=1 / 1000)
    cells = profile(records).rows["Nonlocal"].values()
    assert [cell.p for cell in cells] == pytest.approx([4 * raw, 4 * raw])  # the smaller two of four, which are equal


def test_a_score_that_is_the_same_with_every_seed_is_as_sure_as_one_sample(run):
    """Backwards, a clip has the same frames: no block scores exactly one half, and taps over time may score 1."""
    runs = [run("order", score, seed, block) for seed in range(5) for block, score in ((None, 0.5), ("DCLS", 1.0))]
    cell = profile(runs).rows["DCLS"]["order"]
    assert cell.lifts
    assert cell.difference.half_width == pytest.approx(2.776445 / 1000 / 5**0.5, rel=1e-5)  # Student's t, 4 degrees
    alike = profile([run("order", 0.5, seed, block) for seed in range(5) for block in (None, "ECA")]).rows["ECA"][
        "order"
    ]
    assert not alike.sign
    assert alike.p == 1


def test_a_better_score_that_is_small_is_marked_and_lifts_nothing(run):
    gains = (0.031, 0.03, 0.029, 0.03, 0.031)
    runs = [run("control", 0.9, seed) for seed in range(5)]
    runs += [run("control", 0.9 + gain, seed, "ECA") for seed, gain in enumerate(gains)]
    cell = profile(runs).rows["ECA"]["control"]
    assert cell.sign == "▲"
    assert cell.p < LEVEL
    assert not cell.lifts


def test_below_five_pairs_nothing_is_significant(records):
    found = profile([record for record in records if record.seed < 4])
    assert found.rows["Nonlocal"]["product"].p is None
    assert not found.rows["Nonlocal"]["product"].sign


def test_other_trainings_do_not_count(records, run, make_record):
    longer = [run("product", 1.0, seed, "ECA", {"max_epochs": 99}) for seed in range(5)]
    elsewhere = [make_record(0.9, seed) for seed in range(5)]
    assert profile([*records, *longer, *elsewhere]) == profile(records)
    assert profile(elsewhere).rows == {}


def test_of_two_baselines_the_one_with_more_runs_counts(records, run):
    other = [run("product", 1.0, seed, trainer={"gradient_clip_val": 1.0}) for seed in range(3)]
    assert profile([*other, *records]) == profile(records)


def test_rows_of_one_class_are_told_apart_by_their_options(run):
    runs = [run("product", 0.5, 0, "GlobalContext", reduction=reduction) for reduction in (4, 16)]
    assert set(profile(runs).rows) == {"GlobalContext(reduction=4)", "GlobalContext(reduction=16)"}


def test_the_accuracy_of_pixels_is_taken_where_there_is_one(run):
    assert accuracy(run("pairing", 0.4)) == 0.4
    assert accuracy(run("order", 0.4)) == 0.4


@pytest.mark.parametrize(
    ("given", "asked", "answer"),
    [
        ({"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "eps": 1}}, {"init_args": {"lr": 0.1}}, True),
        ({"class_path": "torch.optim.AdamW"}, {"class_path": "AdamW"}, True),
        ({"class_path": "blockyard.backbones.PreResNet"}, "PreResNet", True),
        ({"class_path": "torch.optim.SGD"}, "AdamW", False),
        ({"lr": 0.1}, {"lr": 0.2}, False),
        ({}, {"lr": 0.2}, False),
        (None, {"lr": 0.2}, False),
        (True, "AdamW", False),
    ],
)
def test_a_configuration_says_another(given, asked, answer: bool):
    assert says(given, asked) is answer


def test_every_packaged_configuration_says_itself():
    assert all(says(config, config) for config in packaged().values())


def test_the_picture_has_every_cell_and_marks_predictions_that_failed(records):
    found = profile(records)
    predictions = {"Nonlocal": {"conjunction": "+", "product": "-"}, "ECA": {"conjunction": "+", "product": "?"}}
    root = ElementTree.fromstring(picture(found, predictions))
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"none", "Nonlocal", "ECA", "conjunction", "product"} <= set(texts)
    assert texts.count("98 ±1") == 2
    framed = [node for node in root.iter("{http://www.w3.org/2000/svg}rect") if node.get("stroke")]
    assert len(framed) == 2
    assert not re.search(r"style=|<style|<script|href", picture(found, predictions))


def test_a_prediction_is_of_a_row_or_of_all_of_its_class():
    said = {"GlobalContext": {"product": "?"}, "GlobalContext(reduction=4)": {"product": "+"}}
    assert prediction_of("GlobalContext(reduction=16)", "product", said) == "?"
    assert prediction_of("GlobalContext(reduction=4)", "product", said) == "+"
    assert prediction_of("ECA", "product", said) == ""
    assert (
        prediction_of("PolynomialBranch(norm=False)", "product", {"PolynomialBranch(norm=false)": {"product": "+"}})
        == "+"
    )


def test_open_questions_fail_never(records):
    cell = profile(records).rows["Nonlocal"]["product"]
    assert not failed("?", cell)
    assert failed("-", cell)


def test_options_that_could_be_markup_are_escaped(run):
    runs = [run("product", 0.5, 0, "ECA", name=name) for name in ("<b>&", "plain")]
    assert "&lt;b&gt;&amp;" in picture(profile(runs))
    assert "&lt;b&gt;&amp;" in page([], profile(runs))


def test_the_page_shows_the_profile_where_there_is_one(records):
    shown = page([], profile(records))
    assert shown.count('<td class="better"><span class="better">') == 2
    assert "What blocks are for" in shown
    assert "What blocks are for" not in page([], profile([]))
