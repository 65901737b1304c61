"""A configuration with reasons: the values come back from YAML as they were."""

from __future__ import annotations

import yaml

from blockyard.commands.commented import WIDTH, commented


def test_a_name_from_outside_can_not_leave_its_comment():
    for end in ("\n", "\x85", "\u2028", "\r"):
        config = {"a": (1, f"class x{end}model: evil{end}")}
        assert yaml.safe_load("\n".join(commented(config))) == {"a": 1}


def test_values_come_back_and_reasons_stand_above():
    values = {"a": 1, "b": {"c": [0.1, 1e-05, None, True], "d": {"e": "no"}}, "f": "1: x # y"}
    config = {
        "a": (1, "why"),
        "b": {"c": (values["b"]["c"], "because " * 40), "d": ({"e": "no"}, "é")},
        "f": "1: x # y",
    }
    lines = list(commented(config))
    assert yaml.safe_load("\n".join(lines)) == values
    assert lines[:2] == ["# why", "a: 1"]
    assert max(map(len, lines)) <= WIDTH + 2
    assert lines[lines.index("  d: {e: 'no'}") - 1] == "  # é"
