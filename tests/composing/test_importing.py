"""Modules come without the collector of garbage, which is left as it was."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from blockyard.composing.importing import imported


def test_what_is_imported_already_freezes_nothing():
    frozen = gc.get_freeze_count()
    assert imported("json").loads("[1]") == [1]
    assert gc.get_freeze_count() == frozen
    assert gc.isenabled()


def test_a_module_that_is_not_there_leaves_the_collector_on():
    with pytest.raises(ModuleNotFoundError):
        imported("blockyard.no_such_module")
    assert gc.isenabled()


@pytest.mark.slow
def test_a_process_of_a_study_has_it_from_the_first_import(tmp_path):
    """Neither the folder of the verb nor the module of a job brings torch before the collector is off."""
    code = (
        "import gc, sys; import blockyard.commands.study.job as job; assert 'torch' not in sys.modules;"
        "begun = [];"
        "gc.callbacks.append(lambda phase, info: begun.append(info['generation']) if phase == 'start' else None);"
        "answer = None\n"
        "try: job.carry_out_alone('no.yaml')\n"
        "except ValueError as error: answer = str(error)\n"
        "assert answer.startswith('no configuration file no.yaml'), answer\n"
        "assert gc.get_freeze_count() > 100_000 and gc.isenabled(), gc.get_freeze_count()\n"
        "assert len(begun) < 50, len(begun)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
