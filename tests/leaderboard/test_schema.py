"""The published schema says the same as the validator, as far as a schema can."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.leaderboard.record import problems
from blockyard.leaderboard.schema import DIALECT, PATH, json_schema
from blockyard.leaderboard.validation import FIELDS, LATER, OMITTED, SCHEMAS

COMMITTED = sorted((Path(__file__).parents[2] / "leaderboard" / "records").glob("*.json"))
DECIBEL = {"unit": "dB", "low": 0, "high": None, "higher_is_better": True}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": (int, float),
    "integer": int,
    "null": type(None),
}
KEYWORDS = {
    *("type", "const", "enum", "minimum", "maximum", "exclusiveMinimum", "maxLength", "pattern", "minProperties"),
    *("additionalProperties", "patternProperties", "properties", "required", "items", "anyOf", "description", "format"),
}


def fits(value, schema):
    """What a JSON Schema validator says, for the keywords that occur here; ``format`` only describes, as by default."""
    assert schema.keys() <= KEYWORDS
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kind = TYPES[schema["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return False
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, dict):
        whole = len(value) >= schema.get("minProperties", 0) and value.keys() >= set(schema.get("required", ()))
        return whole and all(_member(*item, schema) for item in value.items())
    if isinstance(value, list):
        return all(fits(item, schema["items"]) for item in value)
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value)) and bool(re.search(schema.get("pattern", ""), value))
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    return low <= value <= high and value > schema.get("exclusiveMinimum", float("-inf"))


def _member(name, value, schema):
    if name in schema.get("properties", {}):
        return fits(value, schema["properties"][name])
    if schema.get("additionalProperties") is False:
        return False
    named = [one for pattern, one in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
    return all(fits(value, one) for one in named or [schema.get("additionalProperties", {"anyOf": [{"const": value}]})])


def record_fits(fields):
    """What a validator says of a whole record."""
    schema = json_schema()
    scaled = fits(fields, {"type": "object", **schema["if"]})
    parts = [schema["properties"], {} if scaled else schema["else"]["properties"]]
    return all(fits(fields[name], part[name]) for part in parts for name in part if name in fields)


def accepted(name, value):
    rule = FIELDS[name]
    return (value is None and rule.optional) or rule.accepts(value)


def test_the_published_file_is_current():
    # print it again with: python -m blockyard.leaderboard.schema
    assert json.loads(PATH.read_text()) == json_schema()


def test_it_names_its_dialect_and_version():
    published = json.loads(PATH.read_text())
    assert published["$schema"] == DIALECT == "https://json-schema.org/draft/2020-12/schema"
    assert published["properties"]["schema"]["enum"] == list(SCHEMAS)
    assert list(published["properties"]) == list(FIELDS)
    assert published["required"] == [name for name in FIELDS if name not in (*LATER, *OMITTED)]
    assert all(field["description"] for field in published["properties"].values())


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_records_fit(path):
    fields = json.loads(path.read_text())
    assert problems(fields) == []
    assert record_fits(fields)


def test_there_are_committed_records():
    assert COMMITTED


def test_an_optional_field_may_be_null_and_no_other(make_record):
    fields, properties = dataclasses.asdict(make_record(0.9)), json_schema()["properties"]
    optional = {name for name in fields if fits(None, properties[name])}
    assert optional == {name for name, rule in FIELDS.items() if rule.optional}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([1e18, 10**18 + 1, "0" * 12]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FIELDS)), plain)
def test_whatever_the_validator_accepts_fits_the_schema(name, value):
    if name not in ("metrics", "plugs", "scales") and accepted(name, value):
        assert fits(value, json_schema()["properties"][name])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("metrics", [{}, {"top1": 1.2}, {"top1": -0.1}, {"top1": "0.9"}, {"loss": 1e19}, {"loss": True}, []]),
        (
            "scales",
            [
                None,
                [],
                {"psnr": {}},
                {"psnr": DECIBEL | {"low": "0"}},
                {"psnr": DECIBEL | {"unit": "d" * 13}},
                {"psnr": DECIBEL | {"name": "x"}},
                {"psnr": DECIBEL | {"higher_is_better": 1}},
            ],
        ),
        ("macs", [-1, 1.5, "3", None, 10**19]),
        ("throughput", [0, -1, 1e19]),
        ("peak_memory", [-5]),
        ("memory_kind", ["swap"]),
        ("test_samples", [0]),
        ("training_seconds", [-1.0]),
        ("scores", ["../../etc/x.npz", "/x.npz", "x.npy"]),
        ("checkpoint_sha256", ["abc", "A" * 64]),
        ("run", ["0" * 11, "g" * 12]),
        ("commit", ["0123456-clean"]),
        ("schema", [3, None]),
        ("plugs", [{}, [1]]),
        ("config", [[], "x"]),
        ("versions", [{"torch": 2}]),
        ("hardware", ["x" * 501]),
    ],
)
def test_both_refuse_impossible_values(make_record, name, values):
    fields = dataclasses.asdict(make_record(0.9))
    if name != "scales":
        del fields["scales"]
    assert record_fits(fields)
    for value in values:
        assert not record_fits(fields | {name: value})
        assert problems(fields | {name: value})


@pytest.mark.parametrize("metric", ["loss", "triplet_loss", "missing_videos"])
def test_losses_and_counts_may_be_more_than_one(make_record, metric):
    fields = dataclasses.asdict(make_record(0.5)) | {"metrics": {metric: 7.5, "top1": 0.5}}
    del fields["scales"]
    assert record_fits(fields)


def test_what_has_a_scale_may_be_more_than_one_and_nothing_else(make_record):
    fields = dataclasses.asdict(make_record(0.5)) | {"metrics": {"psnr": 31.5, "top1": 0.5}}
    assert record_fits(fields | {"scales": {"psnr": DECIBEL}})
    assert problems(fields | {"scales": {"psnr": DECIBEL}}) == []
    del fields["scales"]
    assert not record_fits(fields)
    assert problems(fields) == ["metrics.psnr: 31.5; allowed is a fraction from 0 to 1"]
