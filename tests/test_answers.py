"""What the command line answers before, or without, what takes seconds to come."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from blockyard.cli import UNHEARD, VERBS, main
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI


class TestWithoutTorch:
    @pytest.mark.parametrize("arguments", ["'--version'", "'--help'", "'leaderboard', '--help'", "'leaderboard'"])
    def test_answers(self, arguments, tmp_path):
        code = f"import sys; from blockyard.cli import main; main([{arguments}]); sys.exit('torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)

    @pytest.mark.parametrize(
        "line",
        [
            *(f"{verb} --help" for verb in VERBS),
            "fitt",
            "fit --confg x",
            "configs",
            "fit --config image_classification/digit.yaml",
            "check-data --config no.yaml",
            *(f"{verb} --ckpt_path no.ckpt" for verb in ("fit", "test", "export", "off-the-shelf", "inspect")),
            "leaderboard verify no.json --ckpt_path no.ckpt",
            "leaderboard add no.json",
            "study no.yaml",
            "samples no",
        ],
    )
    def test_what_can_be_told_from_words_and_files_takes_none(self, line, tmp_path):
        code = f"import sys; from blockyard.cli import main; main({line.split()}); sys.exit('torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)

    def test_a_missing_file_is_answered_as_late_as_early(self, tmp_path, monkeypatch, capsys):
        """Those who compose from Python get the same line."""
        monkeypatch.chdir(tmp_path)
        for arguments in (["--config", "no.yaml"], ["--ckpt_path", "no.ckpt"]):
            with pytest.raises(ValueError, match=r"no\.(yaml|ckpt)") as late:
                compose(arguments, keep_trainer=True)
            assert main(["test", *arguments]) == 2
            assert capsys.readouterr().err.splitlines() == [f"blockyard: {late.value}"]

    def test_help_names_every_verb(self, capsys):
        assert main([]) == 0
        bare = capsys.readouterr().out
        assert main(["--help"]) == 0
        text = capsys.readouterr().out
        assert bare == text
        assert all(f"  {verb} " in text for verb in VERBS)


def test_the_first_import_of_a_verb_is_not_searched_for_garbage(tmp_path):
    """It is frozen, the collector goes on after it, and what a later call leaves is collected."""
    code = (
        "import gc, weakref; from blockyard.cli import main; main(['configs']); frozen = gc.get_freeze_count();"
        "assert frozen > 1000 and gc.isenabled(), frozen;"
        "Circle = type('Circle', (), {}); circle = Circle(); circle.itself = circle; seen = weakref.ref(circle);"
        "del circle; main(['configs']); assert gc.get_freeze_count() <= frozen; gc.collect(); assert seen() is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def test_the_parsers_of_other_verbs_are_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []

    class Counted(SuiteCLI):
        def init_parser(self, **options):
            made.append(super().init_parser(**options))
            return made[-1]

    prepare()
    Counted("validate", compose(["--config", "image_classification/digits.yaml"], keep_trainer=False))
    assert len(made) == 2  # that of the command line, and that of its verb


def test_a_reader_that_has_enough_is_no_mistake():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "blockyard", "configs"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (UNHEARD, "")
