"""What several views of a sample cost, by the options of the test."""

from dataclasses import replace

import pytest

from blockyard.leaderboard.record import described
from blockyard.leaderboard.tables import tables
from blockyard.leaderboard.views import views_of


@pytest.mark.parametrize(
    ("model", "data", "views", "cost"),
    [
        ({}, {}, 1, 1),
        ({"scales": None, "flip_test": None}, {"crops": None}, 1, 1),
        ({"scales": [0.5, 1.0, 2.0], "flip_test": True}, {}, 6, 2 * 5.25),
        ({"scales": [0.5]}, {}, 1, 0.25),
        ({"flip_test": True}, {"crops": 5}, 10, 10),
        ({}, {"clips": 10, "crops": 3}, 30, 30),
    ],
)
def test_views_multiply_and_scales_cost_their_squares(model, data, views, cost):
    assert views_of({"model": {"init_args": model}, "data": {"init_args": data}}) == (views, cost)
    assert views_of({}) == (1, 1)


def test_tables_say_what_views_cost(make_record, config):
    one = make_record(0.5)
    (table,) = tables([one])
    assert not [note for note in table.notes if "views" in note]
    config["model"]["init_args"]["flip_test"] = True
    more = replace(one, **described(config), config=config)
    (table,) = tables([one, more])
    (note,) = [note for note in table.notes if "views" in note]
    named = next(row.block for row in table.rows if row.experiment == more.experiment)
    assert note.startswith(f"Tests average 2 views of a sample, 2 times the MACs of one: {named}; ")
