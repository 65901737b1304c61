"""Draw the pictures of docs/inspect.md again, and measure what it says: ``python docs/inspections.py SNL NL``.

SNL and NL are checkpoints of ``SpectralNonlocal`` and ``Nonlocal`` on the digits; docs/inspect.md says how they are
trained.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from blockyard.analysis.affine import affine_map
from blockyard.analysis.graph_looking import look
from blockyard.cli import main as blockyard
from blockyard.commands.shown import from_samples
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI

DOCS = Path(__file__).parent
SAMPLES = ["0", "250", "850"]
QUERIES = ["6,14", "18,18", "20,9", "2,2"]
STROKE = 128
"""A cell of the map belongs to a stroke if the mean of its pixels is brighter, of 255."""


def draw(checkpoint: str, name: str) -> None:
    """Draw a checkpoint as the command does, in few colours."""
    with tempfile.TemporaryDirectory() as place:
        picked = ["--ckpt_path", checkpoint, "--samples", *SAMPLES, "--query", *QUERIES, "--output", place]
        for what in ("graphs", "affine", "relevance") if name == "snl" else ("graphs",):
            blockyard(["inspect", "--what", what, *picked])
        for path in Path(place).glob("*.png"):
            with Image.open(path) as drawn:
                kind = path.stem.rpartition("-")[2]
                drawn.convert("RGB").quantize(256).save(DOCS / f"inspect-{name}-{kind}.png", optimize=True)


def shares(checkpoint: str) -> np.ndarray:
    """A row a picture, ``(n, 3)``: the share of cells on strokes, and of what stroke and other cells see of them."""
    prepare()
    cli = SuiteCLI(None, compose(["--ckpt_path", checkpoint, "--trainer.logger", "false"], keep_trainer=False))
    cli.load_weights(checkpoint)
    rows = []
    for shown in from_samples(cli.datamodule, range(0, 1000, 5)):
        (graph,) = look(cli.model.network, shown.input)
        cell = shown.pixels.shape[0] // graph.size[0]
        stroke = shown.pixels.reshape(graph.size[0], cell, graph.size[1], cell).mean((1, 3)).ravel() > STROKE
        seen = graph.matrices[0] / graph.matrices[0].sum(1, keepdims=True)
        on_strokes = seen[:, stroke].sum(1)
        rows.append((stroke.mean(), on_strokes[stroke].mean(), on_strokes[~stroke].mean()))
    return np.array(rows)


def constants(checkpoint: str) -> np.ndarray:
    """The share of the constant in the largest logit of test pictures, by the affine map at each."""
    prepare()
    cli = SuiteCLI(None, compose(["--ckpt_path", checkpoint, "--trainer.logger", "false"], keep_trainer=False))
    cli.load_weights(checkpoint)
    maps = (affine_map(cli.model.network, shown.input) for shown in from_samples(cli.datamodule, range(0, 1000, 5)))
    return np.array([float(one.constant[0, k] / one.output[0, k]) for one in maps for k in [int(one.output.argmax())]])


def main(snl: str, nl: str) -> None:
    """Draw both, and print the shares."""
    least, median, most = np.quantile(constants(snl), (0.1, 0.5, 0.9))
    print(f"snl: the constant is {median:.0%} of the largest logit, from {least:.0%} to {most:.0%} in 8 of 10 pictures")
    for name, checkpoint in (("snl", snl), ("nl", nl)):
        draw(checkpoint, name)
        found = shares(checkpoint)
        cells, own, others = 100 * found.mean(0)
        more = (found[:, 1] > found[:, 0]).mean()
        print(
            f"{name}: strokes are {cells:.1f} % of the cells; stroke positions give them {own:.1f} % of their weight "
            f"(more than their share in {more:.0%} of {len(found)} pictures), other positions {others:.1f} %"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
