"""What a shell completes, and what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from blockyard.cli import VERBS, main
from blockyard.commands import sources
from blockyard.composing.config_files import config_names


def completed(capsys, *line: str) -> list[str]:
    assert main(["completion", "words", str(len(line)), "blockyard", *line]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["fi"], ["fit"]),
        (["leaderboard", "ve"], ["verify"]),
        (["fit", "--ckpt"], ["--ckpt_path"]),
        (["fit", "--trainer.max_e"], ["--trainer.max_epochs"]),
        (["fit", "--model.block", "SpectralN"], ["SpectralNonlocal"]),
        (["fit", "--model.block=X", "--model.backbone", "PreR"], ["PreResNet"]),
        (["fit", "--model.block", "SpectralNonlocal", "--model.block.o"], ["--model.block.order"]),
        (["fit", "--model.block=SpectralNonlocal", "--model.block.o"], ["--model.block.order"]),
        (["fit", "--model.backbone", "PreResNet", "--model.backbone.de"], ["--model.backbone.depth"]),
        (["fit", "--model.layer_d"], ["--model.layer_decay"]),
        (["fit", "--data.batch"], ["--data.batch_size"]),
        (["fit", "--trainer.callbacks+", "EM"], ["EMA"]),
        (["fit", "--config", "image_classification/dig"], ["image_classification/digits.yaml"]),
        (["study", "studies/diagnostics-d"], ["studies/diagnostics-demo.yaml"]),
        (["fit", "--model.at", "stage2.1"], ["stage2.1"]),
        (["export", "--format", "o"], ["onnx"]),
        (["fetch", "cifar100"], ["cifar100", "cifar100_c"]),
        (["fit", "--ckpt_path", "be"], []),
        (["nonsense", "x"], []),
    ],
)
def test_words(capsys, line, expected):
    assert completed(capsys, *line) == expected


def test_every_verb_and_configuration(capsys):
    assert {verb.split()[0] for verb in VERBS} <= set(completed(capsys, ""))
    configs = [name for name in config_names() if not name.startswith("studies/")]
    assert completed(capsys, "fit", "--config", "") == configs


def test_the_source_says_what_the_classes_say():
    """Read from the source, the names of classes and arguments are those that an import finds."""
    import inspect

    import blockyard.composing.suite  # noqa: F401 - which imports all that a configuration may name
    from blockyard import blocks
    from blockyard.backbones import Backbone
    from blockyard.composing.parser_messages import class_names
    from blockyard.tasks.base import Task

    found = [*blocks.list_blocks(), *blocks.list_wrappers()]
    own = {kind.__name__: kind for kind in found if kind.__module__.startswith("blockyard.")}
    assert set(sources.classes("model.block")) == set(own)
    for name, kind in own.items():
        said = [one for one in inspect.signature(kind).parameters if one not in (*sources.PASSED, "options")]
        assert set(said) <= set(sources.arguments("model.block", name)), name
    assert (
        {"PreResNet", "TimmBackbone", "Framewise"}
        <= set(sources.classes("model.backbone"))
        <= set(class_names(Backbone))
    )
    assert set(sources.classes("model")) <= set(class_names(Task))
    assert {"block", "at", "label_smoothing", "flip_test"} <= set(sources.arguments("model", "ImageClassification"))


def test_it_takes_no_torch_and_little_time():
    code = (
        "import json, sys, time; from blockyard.cli import main;"
        "main(['completion', 'words', '2', 'blockyard', 'fit', '--data.']);"
        "print(json.dumps([time.process_time(), sorted({'torch', 'numpy', 'lightning'} & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent, imported = json.loads(done.stdout.splitlines()[-1])
    assert imported == []
    assert spent < 1  # 0.2 s, and room for a busy machine


def test_bash_fills_in(tmp_path):
    (tmp_path / "blockyard").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m blockyard "$@"\n')
    (tmp_path / "blockyard").chmod(0o755)
    script = (
        'eval "$(blockyard completion bash)"; COMP_WORDS=(blockyard fit --model.bloc); COMP_CWORD=2; _blockyard;'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}:/usr/bin:/bin"
    root = str(Path(sources.PACKAGE).parent)
    done = subprocess.run(
        ["bash", "-c", script], env={"PATH": path, "PYTHONPATH": root}, capture_output=True, text=True, check=False
    )
    assert "--model.block" in done.stdout.splitlines(), done.stderr
