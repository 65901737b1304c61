"""``blockyard leaderboard`` as a user meets it."""

import subprocess
import sys

import pytest

from blockyard.leaderboard import main
from blockyard.leaderboard.record import write


@pytest.fixture
def records(make_record, tmp_path):
    directory = tmp_path / "records"
    for seed in range(3):
        for block in (None, "SpectralNonlocal"):
            write(make_record(0.9 + 0.01 * seed + (0.02 if block else 0), seed, block), directory)
    return directory


def test_it_prints_one_line_an_experiment(records, capsys):
    assert main(["--records", str(records)]) == 0
    printed = capsys.readouterr().out
    assert "ImageClassification on Digits" in printed
    (line,) = (line for line in printed.splitlines() if line.lstrip().startswith("SpectralNonlocal @ stage2.1"))
    assert "93.00 ± 2.48" in line
    assert "+2.00 (3)" in line


def test_it_reads_runs_records_by_default(records, monkeypatch, tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    records.rename(tmp_path / "runs" / "records")
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert "SpectralNonlocal" in capsys.readouterr().out


def test_it_reads_several_folders(records, make_record, tmp_path, capsys):
    write(make_record(0.5, block="GlobalContext"), tmp_path / "more")
    assert main(["--records", str(records), "--records", str(tmp_path / "more")]) == 0
    assert "GlobalContext" in capsys.readouterr().out


def test_it_writes_markdown_and_csv(records, tmp_path, capsys):
    files = tmp_path / "new" / "table.md", tmp_path / "table.csv"
    assert main(["--records", str(records), "--markdown", str(files[0]), "--csv", str(files[1])]) == 0
    assert files[0].read_text().startswith("### ImageClassification on Digits")
    assert len(files[1].read_text().splitlines()) == 3
    assert f"wrote {files[0]}" in capsys.readouterr().out


def test_columns_hold_for_the_terminal_and_every_file(records, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written = ["--markdown", "a.md", "--csv", "a.csv", "--latex"]
    assert main(["--records", str(records), "--columns", "macs, score", *written]) == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["Block", "MACs", "top1", "%"]
    assert "| Block | MACs | top1 % |" in (tmp_path / "a.md").read_text()
    assert (tmp_path / "a.csv").read_text().partition("\n")[0].endswith(",primary,macs,score,score_ci95")
    assert r"Block & MACs & top1 \% \\" in (tmp_path / "leaderboard.tex").read_text()


@pytest.mark.parametrize("task", ["ImageClassification", "image_classification"])
def test_it_selects_a_task(records, task, capsys):
    assert main(["--records", str(records), "--task", task]) == 0
    assert "ImageClassification" in capsys.readouterr().out


def test_damaged_files_are_named_and_the_rest_is_shown(records, capsys):
    (records / "broken.json").write_text("{")
    assert main(["--records", str(records)]) == 0
    captured = capsys.readouterr()
    assert "SpectralNonlocal" in captured.out
    assert captured.err.count("\n") == 1
    assert f"left out: {records / 'broken.json'}: no record" in captured.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--markdwon", "x.md"], "unknown option --markdwon; did you mean --markdown?"),
        (["--task", "ImageClasification"], "no record of task ImageClasification; did you mean ImageClassification?"),
        (["--task", "xyz"], "no record of task xyz; there are ImageClassification"),
        (["--csv"], "argument --csv: expected one argument"),
        (
            ["--columns", "scroe,macs"],
            "--columns: no column scroe; did you mean score? there are block, backbone, rank",
        ),
        (["--columns", "score,xyz"], "--columns: no column xyz; there are block"),
        (["stray"], "unknown option stray"),
        (["--csv", "/proc/none/table.csv"], "/proc/none"),
    ],
)
def test_mistakes_are_answered_in_one_line(records, arguments, line, capsys):
    assert main([*arguments, "--records", str(records)]) == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.startswith("blockyard leaderboard: ")
    assert printed.count("\n") == 1


def test_without_records_it_says_where_they_come_from(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "no folder runs/records: runs leave their records in runs/records" in capsys.readouterr().err
    assert main(["--records", str(tmp_path)]) == 2
    assert "no valid record in" in capsys.readouterr().err


def test_help_is_help(capsys):
    assert main(["--help"]) == 0
    assert "--markdown" in capsys.readouterr().out


def test_torch_lightning_and_scipy_stay_out(records):
    script = f"""
import sys
from blockyard.leaderboard import main
assert main(["--records", {str(records)!r}]) == 0
loaded = {{"torch", "lightning", "scipy", "numpy"}} & set(sys.modules)
assert not loaded, loaded
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
