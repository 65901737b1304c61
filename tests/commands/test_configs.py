"""``configs`` lists every file that ships, and each says what it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from blockyard.cli import main
from blockyard.commands.configs import about
from blockyard.composing.config_files import config_names


def test_every_configuration_is_listed(capsys):
    assert main(["configs"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == config_names()


@pytest.mark.parametrize("name", config_names())
def test_each_says_what_it_is(name: str):
    assert len(about(name)) > 10
    assert not about(name).startswith("#")


def test_a_name_in_it_ends_no_sentence():
    assert about("studies/cifar10-nonlocal.yaml").startswith("For the tables on CIFAR-10 of Zhu et al. (")


def test_a_word_or_a_glob_says_which(capsys):
    for given in ("diagnostics/t", "diagnostics/t*"):
        assert main(["configs", given]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines] == [
            f"diagnostics/transport-{d}.yaml" for d in ("across", "beyond", "near")
        ]


def test_a_name_that_there_is_not(capsys):
    assert main(["configs", "person_read"]) == 2
    assert "nothing matches person_read" in capsys.readouterr().err


def test_it_answers_without_torch():
    code = "import sys; from blockyard.cli import main; main(['configs']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
