"""A test under other views is a result of its own, and one under the training's views is the training's."""

from __future__ import annotations

import copy

import pytest

from blockyard.composing.evaluating import evaluated, evaluation_options
from blockyard.leaderboard.identity import identity

TRAINED = {
    "seed_everything": 1,
    "trainer": {"max_epochs": 2},
    "model": {
        "class_path": "blockyard.tasks.SemanticSegmentation",
        "init_args": {"class_weights": "balanced", "scales": None, "flip_test": None},
    },
    "data": {"class_path": "blockyard.datamodules.ImageMaskFolder", "init_args": {"root": "data"}},
}


def result_of(**options):
    """The identity of a test of ``TRAINED``, with options of the command line."""
    now = copy.deepcopy(TRAINED)
    for name, value in options.items():
        section, _, option = name.partition("_")
        now[section]["init_args"][option] = value
    return identity(evaluated(TRAINED, now, evaluation_options(now)))


def test_each_way_to_look_at_a_picture_is_an_experiment():
    ways = [{}, {"model_flip_test": True}, {"model_scales": [0.75, 1.0]}]
    ways.append({"model_flip_test": True, "model_scales": [0.75, 1.0]})
    assert len({result_of(**options).experiment for options in ways}) == len(ways)
    assert result_of() == identity(TRAINED)


@pytest.mark.parametrize(
    "options",
    [
        {"model_class_weights": None},
        {"data_predict_tile": [64, 64], "data_predict_overlap": 8},
        {"model_overlays": True, "model_confidence": True},
    ],
)
def test_what_a_test_does_not_look_at_makes_no_other_result(options):
    assert result_of(**options) == result_of()


def test_tiles_are_no_part_of_a_training():
    tiled = copy.deepcopy(TRAINED)
    tiled["data"]["init_args"] |= {"predict_tile": [64, 64], "predict_overlap": 8}
    assert identity(tiled) == identity(TRAINED)
