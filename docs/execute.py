"""Run docs/notebook.ipynb and keep what its cells answer; ``make docs`` runs it."""

from __future__ import annotations

import base64
import io
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image
from traitlets.config import Config

from blockyard import files

NOTEBOOK = Path(__file__).parent / "notebook.ipynb"
SECONDS = 300
"""For one cell, on a busy machine."""


def executed(notebook: NotebookNode) -> NotebookNode:
    """Run all cells in a kernel of their own, in an empty folder.

    Args:
        notebook: The notebook; it is left as it is.

    Returns:
        A copy with what the cells answered, and without what tells one execution from another.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    run = nbformat.from_dict(notebook)
    for cell in run.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as folder:
        # sockets are files, and no port of the network
        sockets = Config(KernelManager={"transport": "ipc", "ip": str(Path(folder) / "kernel")})
        place = {"metadata": {"path": folder}}
        options = {"timeout": SECONDS, "record_timing": False, "coalesce_streams": True}
        NotebookClient(run, config=sockets, resources=place, **options).execute()
    run.metadata.language_info = {"name": "python"}  # the kernel adds its version
    for cell in run.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data = {"image/png": _small(output.data["image/png"])}  # its text is an address in memory
                output.metadata = {}
    return run


def _small(encoded: str) -> str:
    """A PNG in Base64 with few colours, which drawings don't miss."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    notebook = executed(nbformat.read(NOTEBOOK, as_version=4))
    files.write(NOTEBOOK, f"{nbformat.writes(notebook)}\n".encode())
