"""What ``--help`` says of a verb, and how a verb's own options are told from those of a configuration."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest

from blockyard.cli import VERBS, main
from blockyard.commands import options
from blockyard.commands.export_formats import FORMATS
from blockyard.composing.config_files import find_config

HELP = """
import contextlib, io, json, sys
from blockyard.cli import VERBS, main
from blockyard.commands.samples import writers

said = {}
for verb in [*VERBS, "leaderboard add", *(f"samples {name}" for name in writers())]:
    for option in ("--help", "-h"):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = main([*verb.split(), option])
        said[f"{verb} {option}"] = code, out.getvalue()
print(json.dumps([said, sorted({"torch", "lightning", "numpy"} & set(sys.modules))]))
"""


@pytest.fixture(scope="module")
def helped():
    """What every verb says of itself, and what had to be imported for that."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_help_of_no_verb_takes_torch(helped):
    said, imported = helped
    assert imported == []
    assert len(said) > 2 * len(VERBS)
    for call, (code, text) in said.items():
        verb, _, _ = call.rpartition(" ")
        assert code == 0, call
        assert text.startswith(f"usage: blockyard {verb} "), call
        assert text == said[f"{verb} --help"][1], call
        assert re.search(r"^ +--?\w|NAME --help", text, re.MULTILINE), call


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_says_what_a_verb_does_with_an_example_and_keeps_to_the_width(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    for verb in ["", *VERBS, "leaderboard add", "samples tiny_images"]:
        assert main([*verb.split(), "--help"]) == 0
        text = capsys.readouterr().out
        assert [line for line in text.splitlines() if len(line) > width] == [], verb
        usage, what, *_ = text.split("\n\n")
        assert usage.startswith("usage: blockyard"), verb
        assert verb == "" or re.match(r"[A-Z][^.]*[.:(]", what), verb
        assert f"blockyard {verb}".rstrip() in text.removeprefix(usage), verb


def test_examples_in_help_are_command_lines_that_are_understood():
    for verb, known in VERBS.items():
        if known.parser:
            parser = known.parser()
            name, *words = shlex.split(parser.example.removeprefix("blockyard "))
            assert f"{name} {' '.join(words)}".startswith(verb)
            parser.read(words[1:] if " " in verb else words)


def test_help_names_every_option_of_its_own(helped):
    said, _ = helped
    for verb, known in VERBS.items():
        if known.parser:
            text = said[f"{verb} --help"][1]
            own = [name for name in known.parser()._option_string_actions if name.startswith("--")]
            assert [name for name in own if name not in text] == [], verb
            assert len(own) > 1 or "--config" in text, verb
    for name in ("--root VALUE", "--form VALUE", "'kaggle'", "default: (75, 100)"):
        assert name in said["samples tiny_images --help"][1]


def test_what_help_names_exists():
    assert find_config("image_classification/digits.yaml")
    assert find_config("studies/digits-blocks.yaml")
    (formats,) = (action.choices for action in options.export()._actions if action.dest == "format")
    assert formats == (*FORMATS, "huggingface")


@pytest.mark.parametrize("verb", ["fit", "test", "predict"])
def test_the_long_help_has_a_name_and_no_section_that_is_refused(capsys, verb):
    assert main([verb, "--trainer.devices", "1", "--help", "all"]) == 0
    text = capsys.readouterr().out
    assert "--trainer.max_epochs" in text
    sections = set(re.findall(r"^  (?:-\w[ A-Z]*, )?--(\w+)", text, re.MULTILINE)) - {"help"}
    assert {"trainer", "data", "model", "config", "print_config"} <= sections
    assert sections <= {*options.SECTIONS}


def test_options_of_a_configuration_stay_as_they_are():
    tokens = [
        "-c",
        "a.yaml",
        "--model.at=[a, b]",
        "--model.plugs",
        "[{at: c}]",
        "--data",
        "D",
        "--trainer.callbacks+=E",
    ]
    assert options.fit().read(tokens)[1] == tokens
    own = ["--k", "5", *tokens[:4], "--methods=knn", *tokens[4:]]
    found, rest = options.off_the_shelf().read(own)
    assert (found.k, found.methods, rest) == (5, "knn", tokens)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fit", "--epochs", "3"], "fit: no option --epochs; here it is --trainer.max_epochs"),
        (["test", "--batch-size=3"], "test: no option --batch-size; here it is --data.batch_size"),
        (["fit", "--hlep"], "fit: no option --hlep; did you mean --help"),
        (["fit", "--help", "al"], "invalid choice: 'al'"),
        (["test", "--ckptpath", "x"], "test: no option --ckptpath; did you mean --ckpt_path"),
        (["describe", "--confg=x.yaml"], "describe: no option --confg; did you mean --config"),
        (["off-the-shelf", "--metods", "knn"], "no option --metods; did you mean --methods"),
        (["off-the-shelf", "--k", "five"], "argument --k: invalid int value: 'five'"),
        (["check-data", "--manifst", "x"], "no option --manifst; did you mean --manifest"),
        (["export", "--ckpt_path", "x", "--fromat", "onnx"], "no option --fromat; did you mean --format"),
        (["export", "--ckpt_path", "x", "--format", "onxx"], "invalid choice: 'onxx'"),
        (["inspect", "--ckpt_path", "x", "--smaples", "1"], "no option --smaples; did you mean --samples"),
        (
            ["leaderboard", "verify", "r", "--ckpt_path", "x", "--dta.root", "x"],
            "no option --dta; did you mean --data",
        ),
        (["study", "a.yaml", "--jbos", "2"], "study: no option --jbos; did you mean --jobs"),
        (["study"], "study: the following arguments are required: STUDY.yaml"),
        (["study", "a.yaml", "b.yaml"], "a study takes one file and no b.yaml"),
        (["blocks", "--shpe", "3"], "blocks: no option --shpe; did you mean --shape"),
        (["blocks", "a", "b"], "blocks: too many arguments: b"),
        (["samples", "tiny_images", "--root", "x", "--sizee", "3"], "no option --sizee; did you mean --size"),
        (["leaderboard", "verfy"], "did you mean verify?"),
        (["leaderbord"], "no verb leaderbord; did you mean leaderboard"),
    ],
)
def test_a_wrong_option_is_answered_in_one_line(capsys, arguments, expected):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
