"""A record is whole and possible, or it is refused in one line a problem."""

import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockyard import files
from blockyard.leaderboard.record import Record, RecordError, described, keep, problems, read, read_all, write
from blockyard.leaderboard.validation import FIELDS


def described_without_labels(config):
    return {name: fact for name, fact in described(config).items() if name not in ("block", "backbone")}


def change(path, **fields):
    """Rewrite fields of a record on disk; NaN and infinity as Python writes them."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


@pytest.fixture
def path(make_record, tmp_path):
    return write(make_record(0.9, block="SpectralNonlocal"), tmp_path)


def test_what_is_written_is_read_back(make_record, tmp_path):
    record = make_record(0.9, block="SpectralNonlocal", at=["stage3.1", "stage2.1"])
    assert read(write(record, tmp_path)) == record
    assert record.block == "SpectralNonlocal @ stage2.1, stage3.1"
    assert record.backbone == "PreResNet(depth=20)"
    assert (record.task, record.data) == ("ImageClassification", "Digits")
    assert [plug["at"] for plug in record.plugs] == ["stage2.1", "stage3.1"]


def test_every_field_has_a_rule():
    assert FIELDS.keys() == {field.name for field in dataclasses.fields(Record)}


def test_a_repeat_gets_a_file_of_its_own_and_is_marked(make_record, tmp_path):
    paths = [write(make_record(top1), tmp_path) for top1 in (0.9, 0.8, 0.7)]
    run = make_record(0).run
    assert [path.name for path in paths] == [f"{run}.json", f"{run}-repeat1.json", f"{run}-repeat2.json"]
    assert [(read(path).repeat, read(path).metrics["top1"]) for path in paths] == [(0, 0.9), (1, 0.8), (2, 0.7)]


def write_some(directory, record, times):
    for _ in range(times):
        write(record, Path(directory))


def test_processes_that_write_at_once_lose_nothing(make_record, tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_some, args=(tmp_path, make_record(0.5), 5)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records, damaged = read_all([tmp_path])
    assert not damaged
    assert sorted(record.repeat for record in records) == list(range(20))
    assert len(list(tmp_path.iterdir())) == 20


def test_a_writer_that_is_killed_leaves_no_half_file(tmp_path):
    # killed between writing and publishing: the moment at which a plain open().write() leaves half a file
    script = f"""
import os, signal
from pathlib import Path
from blockyard import files
os.link = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
files.create(Path({str(tmp_path)!r}) / "x.json", b"{{}}")
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert list(tmp_path.glob("*.json")) == []


def test_replacing_a_file_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "table.md"
    files.write(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        files.write(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("table.md", b"old")]


IMPOSSIBLE = [
    ("metrics", {"top1": 1.2}, "metrics.top1: 1.2; allowed is a fraction from 0 to 1"),
    ("metrics", {"top1": -0.1}, "metrics.top1: -0.1; allowed is a fraction from 0 to 1"),
    ("metrics", {"top1": float("nan")}, "metrics.top1: nan; allowed is a fraction from 0 to 1"),
    ("metrics", {"top1": 0.5, "loss": float("inf")}, "metrics.loss: inf; allowed is a finite number"),
    ("metrics", {"top1": True}, "metrics.top1: True; allowed is a fraction"),
    ("metrics", {"top1": "0.9"}, "metrics.top1: '0.9'; allowed is a fraction"),
    ("metrics", {"top1": 10**400}, "allowed is a fraction"),
    ("metrics", {}, "metrics: {}; allowed is a mapping of names to values"),
    ("metrics", {"miou": 0.5}, "primary: 'top1'; allowed is one of the metrics: miou"),
    ("macs", -1, "macs: -1; allowed is a whole number, 0 or more"),
    ("parameters", 1.5, "parameters: 1.5; allowed is a whole number, 0 or more"),
    ("throughput", 0, "throughput: 0; allowed is a finite number above 0"),
    ("throughput", float("inf"), "throughput: inf; allowed is a finite number above 0"),
    ("peak_memory", -5, "peak_memory: -5; allowed is a whole number, 0 or more or null"),
    ("memory_kind", "swap", "memory_kind: 'swap'; allowed is cuda or process RSS or null"),
    ("test_samples", 0, "test_samples: 0; allowed is a whole number, 1 or more"),
    ("training_seconds", -1.0, "training_seconds: -1.0; allowed is a finite number from 0"),
    ("finished", "yesterday", "finished: 'yesterday'; allowed is an ISO 8601 time with time zone"),
    ("finished", "2025-01-01T00:00:00", "allowed is an ISO 8601 time with time zone"),
    (
        "scores",
        "../../etc/x.npz",
        "scores: '../../etc/x.npz'; allowed is the name of an .npz file beside the record or null",
    ),
    ("checkpoint_sha256", "abc", "checkpoint_sha256: 'abc'; allowed is 64 hexadecimal digits or null"),
    ("hardware", "\x1b[2J", r"hardware: '\x1b[2J'; allowed is one line of text"),
    ("schema", 3, "schema: 3; this blockyard reads 1 and 2"),
    ("macz", 3, "'macz': unknown field; did you mean macs?"),
    ("seed", 1, "seed: 1; the configuration says 0"),
    ("task", "PersonReID", "task: 'PersonReID'; the configuration says 'ImageClassification'"),
    ("scores_sha256", "0" * 64, "scores_sha256: allowed is a digest where scores names a file, and null where it"),
    ("experiment", "0" * 12, "experiment: '000000000000'; the configuration says"),
    ("config", {}, "config: not a resolved configuration (config: model.class_path is missing)"),
]


@pytest.mark.parametrize(("field", "value", "line"), IMPOSSIBLE)
def test_impossible_values_are_refused_in_one_line(path, field, value, line):
    with pytest.raises(RecordError) as refusal:
        read(change(path, **{field: value}))
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert line in message
    assert "\n" not in message


def test_a_label_follows_the_configuration_whatever_an_older_version_called_it(path):
    changed = read(change(path, block="SNL at 2.1", backbone="resnet"))
    assert (changed.block, changed.backbone) == ("SpectralNonlocal @ stage2.1", "PreResNet(depth=20)")


def test_a_label_that_could_steer_the_terminal_is_refused(path, config):
    config["model"]["init_args"] |= {"block": {"class_path": "SpectralNonlocal"}, "at": "\x1b[2J"}
    with pytest.raises(RecordError, match=r"config: it makes the block .*; allowed is one line of text") as refusal:
        read(change(path, **{"config": config, "block": "none"} | described_without_labels(config)))
    assert str(refusal.value).isprintable()


def test_a_configuration_that_is_nested_without_end_is_refused(path, config):
    for _ in range(100):
        config = {"model": config}
    with pytest.raises(RecordError, match=r"config: .*; allowed is a mapping, at most 50 levels deep"):
        read(change(path, config=config))


def test_a_file_that_is_too_large_or_never_ends_is_not_read(tmp_path):
    (tmp_path / "large.json").write_bytes(b" " * (4 * 2**20 + 1))
    os.mkfifo(tmp_path / "pipe.json")
    for name, line in (("large.json", "it is larger than 4 MiB"), ("pipe.json", "it is not a regular file")):
        with pytest.raises(RecordError, match=f"{name}: no record: {line}"):
            read(tmp_path / name)


def test_keeping_a_record_twice_writes_it_once(make_record, tmp_path):
    first, other = make_record(0.9), make_record(0.8)
    assert [keep(record, tmp_path) is None for record in (first, other, first, other)] == [False, False, True, True]
    assert len(list(tmp_path.iterdir())) == 2


def test_impossible_values_are_not_written_either(make_record, tmp_path):
    with pytest.raises(RecordError, match=r"^record of run [0-9a-f]{12}: metrics.top1: 1.2; allowed is"):
        write(make_record(1.2), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_problem_has_a_line(path):
    fields = json.loads(change(path, macs=-1, throughput=None).read_text())
    del fields["seed"]
    path.write_text(json.dumps(fields))
    with pytest.raises(RecordError) as refusal:
        read(path)
    assert [line.removeprefix(f"{path}: ").split(":")[0] for line in str(refusal.value).splitlines()] == [
        "seed",
        "macs",
        "throughput",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "no record: Expecting value"),
        (b'{"task": "Imag', "no record: Unterminated string"),
        (b"\xff\xfe\x00", "no record: "),
        (b"[1, 2]", "no record: a mapping is needed, this is a list"),
        (b"[" * 100_000, "no record: "),
        (b"{}", "schema: None; this blockyard reads 1 and 2"),
    ],
)
def test_a_damaged_file_is_reported_and_the_rest_is_kept(path, make_record, content, line):
    (path.parent / "damaged.json").write_bytes(content)
    other = write(make_record(0.5, seed=1), path.parent)
    records, damaged = read_all([path.parent])
    assert {record.run for record in records} == {read(path).run, read(other).run}
    assert len(damaged) == 1
    assert line in damaged[0]
    assert "\n" not in damaged[0]


def test_copies_of_a_record_count_once(path, tmp_path):
    elsewhere = tmp_path / "other machine"
    elsewhere.mkdir()
    (elsewhere / "copy.json").write_bytes(path.read_bytes())
    assert read_all([tmp_path, elsewhere]) == ([read(path)], [])


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
PATHS = ["model", "trainer", "data", "model.init_args", "model.init_args.plugs", "model.init_args.block",
         "model.init_args.at", "model.init_args.backbone", "trainer.callbacks", "model.class_path"]  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_content_breaks_the_check(config, data):
    config = deepcopy(config)
    node = config
    *parents, last = data.draw(st.sampled_from(PATHS)).split(".")
    for key in parents:
        node = node[key]
    node[last] = data.draw(junk)
    fields = dict.fromkeys(FIELDS) | {"schema": 2, "config": config, "plugs": [], "metrics": {"top1": 0.5}}
    fields |= {data.draw(st.sampled_from(sorted(FIELDS))): data.draw(junk)}
    assert all("\n" not in line for line in problems(fields))
