"""``blockyard inspect``: what the nonlocal blocks of a checkpoint look at, and what they do to graph frequencies."""

from __future__ import annotations

import copy
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blockyard import files
from blockyard.analysis.graph_drawing import draw_maps, draw_response
from blockyard.analysis.graph_looking import Graph, graph_blocks, look
from blockyard.analysis.graph_spectrum import eigenvalues, refusal
from blockyard.analysis.graph_spectrum import response as response_of
from blockyard.blocks import GraphBlock, list_blocks
from blockyard.blocks.nonlocals.filters import GraphFilterBlock
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.datamodules import DataError, DataModule
from blockyard.datamodules.images import Pixels
from blockyard.plugging.making import factory_name
from blockyard.progress import at_work

QUARTERS = (0.25, 0.75)
"""Where the queries are if none is given: this far down and to the right."""


class Shown(NamedTuple):
    """A picture, as a person sees it and as the network does, ``(1, C, H, W)``."""

    name: str
    pixels: Pixels
    input: Tensor


def main(options: Namespace, rest: list[str]) -> int:
    """Run the verb.

    Args:
        options: What :func:`~blockyard.commands.options.inspect` reads.
        rest: The other command line tokens, as for ``test``.

    Returns:
        0.

    Raises:
        ValueError: If the arguments are wrong, no block of the network has a graph, or a picture can't be used.
    """
    if not options.images and not options.samples:
        raise ValueError("inspect: nothing to look at; give --images FILE … or --samples N …, of the test split")
    prepare()
    composed = compose(["--ckpt_path", str(options.ckpt_path), *rest], keep_trainer=False)
    composed.config["trainer"] = {**composed.config.get("trainer", {}), "logger": False}
    cli = SuiteCLI(None, composed, needs_data=False)
    blocks = _blocks(cli)
    cli.load_weights(options.ckpt_path)
    pictures = [*from_files(cli.datamodule, options.images), *from_samples(cli.datamodule, options.samples)]
    queries = _queries(options.query, pictures)
    with at_work("looking at pictures"):
        seen = [{graph.place: graph for graph in look(cli.model.network, shown.input)} for shown in pictures]
    with at_work("drawing", len(blocks)) as step:
        for place, block in blocks.items():
            found = [(shown, graph[place]) for shown, graph in zip(pictures, seen, strict=True) if place in graph]
            _write(options.output, place, block, found, queries)
            step()
    return 0


def _blocks(cli: SuiteCLI) -> dict[str, GraphBlock]:
    """The blocks to look at.

    Raises:
        ValueError: If there is none.
    """
    blocks = graph_blocks(cli.model.network)
    if not blocks:
        able = ", ".join(kind.__name__ for kind in list_blocks() if issubclass(kind, GraphBlock))
        plugged = ", ".join(factory_name(plug.block) for plug in cli.model.plugs) or "none"
        raise ValueError(
            f"no plug of this network has a graph over positions (plugged: {plugged}); those that do: {able}"
        )
    return blocks


def from_files(data: DataModule, paths: Sequence[Path]) -> list[Shown]:
    """Picture files, prepared as ``predict`` prepares them; no other data are read.

    Raises:
        DataError: If one can't be read.
    """
    return [_from_file(data, path) for path in paths]


def _from_file(data: DataModule, path: Path) -> Shown:
    if not hasattr(data, "predict_folder"):
        raise ValueError(f"{type(data).__name__} holds no single pictures: give --samples N … in place of --images")
    if path.is_dir():
        raise DataError(f"--images {path}: a folder; name the pictures in it")
    alone: Any = copy.copy(data)
    alone.predict_folder = path
    split = alone.load("predict")
    if (problem := split.problem(0)) is not None:
        raise DataError(problem)
    return _shown(split, path.name, split[0])


def from_samples(data: DataModule, numbers: Sequence[int]) -> list[Shown]:
    """Samples of the test split."""
    if not numbers:
        return []
    split, names = data.split("test"), data.names("test")
    for number in numbers:
        if not 0 <= number < len(names):
            raise ValueError(f"--samples {number}: the test split has samples 0 to {len(names) - 1}")
    return [_shown(split, names[number], split[split.items_of(number)[0]]) for number in numbers]


def _shown(split: Any, name: str, sample: dict[str, Any]) -> Shown:
    pixels: NDArray[Any] = np.asarray(sample["input"])
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"{name} is no picture, and only the graphs of pictures can be drawn")
    # Pictures of several sizes come as a list.
    given = split.collate([{**sample, "index": 0}])["input"][0]
    return Shown(name, pixels, given.unsqueeze(0))


def _queries(given: list[tuple[int, int]] | None, pictures: Sequence[Shown]) -> list[tuple[int, int]]:
    """Positions that lie in every picture.

    Raises:
        ValueError: If a given one does not.
    """
    height, width = (min(shown.pixels.shape[axis] for shown in pictures) for axis in (0, 1))
    for y, x in given or []:
        if not (0 <= y < height and 0 <= x < width):
            raise ValueError(
                f"--query {y},{x} is outside the picture: rows 0 to {height - 1}, columns 0 to {width - 1}"
            )
    return given or [(int(height * y), int(width * x)) for y in QUARTERS for x in QUARTERS]


def _write(
    output: Path,
    place: str,
    block: GraphBlock,
    found: Sequence[tuple[Shown, Graph]],
    queries: Sequence[tuple[int, int]],
) -> None:
    """Draw one block, and say what was drawn."""
    rows = [(shown.name, shown.pixels, graph) for shown, graph in found]
    kind, size = type(block).__name__, "×".join(map(str, rows[0][2].size))
    files.write(output / f"{place}-maps.png", draw_maps(rows, queries))
    print(f"{place}: {kind} over {size} positions: {output / f'{place}-maps.png'}")
    reason = next((why for *_, graph in rows if (why := refusal(block, graph))), None)
    if reason is not None:
        print(f"{place}: no frequency response: {kind} {reason}")
        return
    assert isinstance(block, GraphFilterBlock)
    values = [(name, eigenvalues(graph.matrices[0])) for name, _, graph in rows]
    every = np.concatenate([one for _, one in values])
    frequencies = [(name, 1 - one.real) for name, one in values]
    least, most = (float(bound) for bound in ((1 - every.real).min(), (1 - every.real).max()))
    response = response_of(block, np.linspace(min(0.0, least), max(2.0, most), 101))
    files.write(output / f"{place}-response.png", draw_response(f"{kind} at {place}", response, frequencies))
    print(
        f"{place}: graph frequencies {least:.3g} to {most:.3g}, imaginary parts up to {np.abs(every.imag).max():.2g}: "
        f"{output / f'{place}-response.png'}"
    )
