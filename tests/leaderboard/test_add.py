"""Records from other machines are taken in one by one; what is impossible stays outside."""

import dataclasses
import json
import multiprocessing

import numpy as np
import pytest

from blockyard.leaderboard import main
from blockyard.leaderboard.add import add
from blockyard.leaderboard.record import read, read_all, write
from blockyard.leaderboard.scores import write_scores


@pytest.fixture
def theirs(tmp_path):
    return tmp_path / "theirs"


@pytest.fixture
def ours(tmp_path):
    return tmp_path / "ours"


@pytest.fixture
def scored(make_record, theirs):
    """``scored(top1, **fields)`` writes a record of 1000 samples with its scores; the path of the record."""

    def make(top1, seed=0, **fields):
        record = make_record(top1, seed)
        scores = {"top1": (np.arange(1000) < 1000 * top1).astype(np.uint8)}
        name, digest = write_scores(scores, theirs, record.run)
        return write(dataclasses.replace(record, scores=name, scores_sha256=digest, **fields), theirs)

    return make


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def refused(capsys, directory, *paths):
    """The lines with which files are refused; nothing of them may have been copied."""
    before = sorted(directory.iterdir()) if directory.exists() else []
    assert main(["add", *map(str, paths), "--to", str(directory)]) == 1
    assert (sorted(directory.iterdir()) if directory.exists() else []) == before
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("refused: ") for line in lines)
    return lines


def test_records_are_copied_with_their_scores(scored, ours, capsys):
    paths = [scored(0.9, seed) for seed in range(2)]
    assert main(["add", *map(str, paths), "--to", str(ours)]) == 0
    assert sorted(path.name for path in ours.iterdir()) == sorted(path.name for path in paths[0].parent.iterdir())
    assert all((ours / path.name).read_bytes() == path.read_bytes() for path in paths[0].parent.iterdir())
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"{ours}: 2 added"


def test_a_record_without_scores_is_taken_too(make_record, theirs, ours):
    assert add([write(make_record(0.9), theirs)], ours) == {"added": 1}


def test_copies_are_skipped_and_other_results_of_a_run_are_repeats(scored, ours, capsys):
    first, other = scored(0.9), scored(0.8)
    assert add([other, first], ours) == {"added": 1, "repeat": 1}
    assert add([first, other], ours) == {"already there": 2}
    records = sorted(read_all([ours])[0], key=lambda record: record.repeat)
    assert [(record.repeat, record.metrics["top1"]) for record in records] == [(0, 0.9), (1, 0.8)]
    assert f"repeat 1 of run {records[0].run}, compared, not averaged in" in capsys.readouterr().out


def test_what_is_refused_does_not_keep_the_others_out(scored, ours, capsys):
    bad, good = edit(scored(0.9), macs=-1), scored(0.9, 1)
    assert main(["add", str(bad), str(good), "--to", str(ours)]) == 1
    (kept,) = read_all([ours])[0]
    assert kept.run == read(good).run
    captured = capsys.readouterr()
    assert captured.err == f"refused: {bad}: macs: -1; allowed is a whole number, 0 or more\n"
    assert captured.out.splitlines()[-1] == f"{ours}: 1 refused, 1 added"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"metrics": {"top1": 1.01}}, "metrics.top1: 1.01; allowed is a fraction from 0 to 1"),
        ({"training_seconds": -3}, "training_seconds: -3; allowed is a finite number from 0"),
        ({"run": "0" * 12}, "run: '000000000000'; the configuration says"),
        ({"schema": 7}, "schema: 7; this blockyard reads 1"),
        ({"scores_sha256": "0" * 64}, "run and digest make it"),
        ({"scores": "other.npz"}, "scores: 'other.npz'; run and digest make it"),
        ({"scores": "../theirs/x.npz"}, "allowed is the name of an .npz file beside the record"),
        ({"test_samples": 999}, "'top1' has 1000 values; the record says 999 test samples"),
    ],
)
def test_impossible_records_are_refused_in_one_line(scored, ours, capsys, fields, line):
    (said,) = refused(capsys, ours, edit(scored(0.9), **fields))
    assert line in said


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\x80\x04pickle", "no record: "),
        (b"[1]", "no record: a mapping is needed"),
        (b" " * (4 * 2**20 + 1), "no record: it is larger than 4 MiB"),
    ],
)
def test_what_is_no_record_is_refused(theirs, ours, capsys, content, line):
    theirs.mkdir()
    (theirs / "x.json").write_bytes(content)
    (said,) = refused(capsys, ours, theirs / "x.json")
    assert line in said


def test_scores_that_are_damaged_missing_or_others_are_refused(scored, ours, capsys):
    path = scored(0.9)
    (scores,) = path.parent.glob("*.npz")
    content = scores.read_bytes()
    scores.write_bytes(content[:-1])
    assert "its digest is not the one in the record" in refused(capsys, ours, path)[0]
    scores.unlink()
    assert "no scores: there is no such file" in refused(capsys, ours, path)[0]
    scores.write_bytes(content)
    ours.mkdir()
    (ours / scores.name).write_bytes(b"another file of this name")
    assert "has the same name and other scores" in refused(capsys, ours, path)[0]


def test_links_are_not_followed(scored, ours, theirs, capsys):
    path = scored(0.9)
    (theirs / "link.json").symlink_to(path)
    assert "link.json: a symbolic link" in refused(capsys, ours, theirs / "link.json")[0]
    (scores,) = theirs.glob("*.npz")
    scores.rename(theirs / "elsewhere")
    scores.symlink_to(theirs / "elsewhere")
    assert f"{scores}: a symbolic link" in refused(capsys, ours, path)[0]


def test_control_characters_do_not_reach_the_terminal(theirs, ours, capsys):
    theirs.mkdir()
    (theirs / "\x1b[2J.json").write_text("{}")
    (said,) = refused(capsys, ours, theirs / "\x1b[2J.json")
    assert said.isprintable()


def test_processes_that_add_the_same_records_at_once_keep_each_once(scored, ours):
    paths = [scored(top1, seed) for seed in range(5) for top1 in (0.9, 0.8)]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=add, args=(paths, ours)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    records, damaged = read_all([ours])
    assert not damaged
    assert sorted((record.seed, record.repeat) for record in records) == [(s, r) for s in range(5) for r in range(2)]
    assert len(list(ours.iterdir())) == 20


@pytest.mark.parametrize("arguments", [[], ["--into", "x", "y.json"]])
def test_mistakes_are_answered_in_one_line(arguments, capsys):
    assert main(["add", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
