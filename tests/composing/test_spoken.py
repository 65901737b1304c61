"""Mistakes in the words of the command line: arguments are the options that were, or are to be, typed."""

from __future__ import annotations

import pytest
from jsonargparse import Namespace

from blockyard.composing.spoken import as_options, spoken

CONFIG = {
    "data": {"class_path": "Digits", "init_args": {"batch_size": 64, "size": 28, "verify": True}},
    "model": {
        "class_path": "ImageClassification",
        "init_args": {"backbone": {"class_path": "PreResNet", "init_args": {"strict": True, "size": 3}}, "at": None},
    },
}


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("batch_size=64 is larger", "--data.batch_size 64 is larger"),
        ("no match; strict=False loads the rest", "no match; --model.backbone.strict false loads the rest"),
        ("verify=True or at=None", "--data.verify true or --model.at null"),
        ("at='layer9' matches nothing", "--model.at 'layer9' matches nothing"),
        ("size=3 is in two places", "size=3 is in two places"),
        ("unknown=3, --data.batch_size=3, x.verify=False", "unknown=3, --data.batch_size=3, x.verify=False"),
    ],
)
def test_an_argument_that_is_in_one_place_is_an_option(said, typed):
    assert as_options(said, CONFIG) == typed


def test_a_parsed_configuration_does_as_well():
    parsed = Namespace(data=Namespace(class_path="Digits", init_args=Namespace(batch_size=64)))
    assert as_options("batch_size=3", parsed) == "--data.batch_size 3"


def test_only_mistakes_are_reworded_and_stay_what_they_are():
    from blockyard.datamodules.base import divide_batch

    with (
        pytest.raises(ValueError, match=r"^--data\.batch_size 3 is the global batch") as mistake,
        spoken(lambda: CONFIG),
    ):
        divide_batch(3, 2)
    assert type(mistake.value) is ValueError
    with pytest.raises(ValueError, match=r"^batch_size=3$"), spoken(lambda: CONFIG):
        raise ValueError("batch_size=3")  # a bug: not raised by this package
