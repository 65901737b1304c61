"""docs/notebook.ipynb runs, and answers what is committed."""

import json
import re

import nbformat
import pytest
from execute import NOTEBOOK, executed
from nbclient.exceptions import CellExecutionError

COMMITTED = nbformat.read(NOTEBOOK, as_version=4)
NUMBER = re.compile(r"[+-]?\d[\d,.]*")


def answers(notebook):
    """What each cell says, and how many pictures it draws; without the numbers of trainings, which rounding moves."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            said = "".join(output.text for output in cell.outputs if output.output_type == "stream")
            drawn = sum("image/png" in output.get("data", {}) for output in cell.outputs)
            varies = "numbers-vary" in cell.metadata.get("tags", ())
            yield cell.id, NUMBER.sub("#", said) if varies else said, drawn


@pytest.mark.slow
def test_every_cell_runs_and_answers_what_is_committed():
    assert list(answers(executed(COMMITTED))) == list(answers(COMMITTED))


def test_a_cell_that_fails_is_no_answer():
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        executed(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]))


def test_what_is_committed_tells_no_machine_and_is_small():
    text = NOTEBOOK.read_text()
    assert len(text) < 200_000
    outputs = [output for cell in COMMITTED.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not re.search(r"/(tmp|home|root|work|usr)/|20\d\d-\d\d|x86_64|0x[0-9a-f]{6}", json.dumps(outputs))
    assert all(cell.get("execution_count") for cell in COMMITTED.cells if cell.cell_type == "code")
