"""``blockyard inspect``: what a checkpoint makes of pictures and series, where its loss leads, its tangent kernel."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from blockyard import files
from blockyard.analysis.graph_drawing import draw_maps, draw_response
from blockyard.analysis.graph_looking import Graph, graph_blocks, look
from blockyard.analysis.graph_spectrum import eigenvalues, refusal
from blockyard.analysis.graph_spectrum import response as response_of
from blockyard.blocks import GraphBlock, list_blocks
from blockyard.blocks.nonlocals.filters import GraphFilterBlock
from blockyard.commands import (
    inspect_affine,
    inspect_evidence,
    inspect_kernel,
    inspect_landscape,
    inspect_parallel,
    inspect_relevance,
)
from blockyard.commands.shown import Shown, from_files, from_samples
from blockyard.composing.composition import compose
from blockyard.composing.preparing import prepare
from blockyard.composing.suite import SuiteCLI
from blockyard.plugging.making import factory_name
from blockyard.progress import at_work

QUARTERS = (0.25, 0.75)
"""Where the queries are if none is given: this far down and to the right."""

OF_PICTURES = ("graphs", "affine", "ntk", "parallel", "relevance")
READ_BY = {
    "images": OF_PICTURES,
    "samples": (*OF_PICTURES, "evidence"),
    "query": ("graphs", "affine"),
    "rule": ("relevance",),
    **dict.fromkeys(("batches", "steps"), ("landscape",)),
}
"""Which questions an option is for."""


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
    of_loss = options.what == "landscape"
    _refuse_others(options)
    prepare()
    composed = compose(["--ckpt_path", str(options.ckpt_path), *rest], keep_trainer=False)
    composed.config["trainer"] = {**composed.config.get("trainer", {}), "logger": False}
    cli = SuiteCLI(None, composed, needs_data=of_loss)
    blocks = _blocks(cli) if options.what == "graphs" else {}
    if options.what not in {"graphs", "landscape"}:
        inspect_affine.insist_on_logits(cli, options.what)
    cli.load_weights(options.ckpt_path)
    if of_loss:
        inspect_landscape.answer(cli, options)
    elif options.what == "evidence":
        inspect_evidence.answer(cli, options.samples, options.output)
    else:
        _of_pictures(cli, options, blocks)
    return 0


def _of_pictures(cli: SuiteCLI, options: Namespace, blocks: Mapping[str, GraphBlock]) -> None:
    """Answer what is asked of pictures, of graphs those of some blocks by place."""
    pictures = [*from_files(cli.datamodule, options.images), *from_samples(cli.datamodule, options.samples)]
    if options.what == "parallel":
        return inspect_parallel.answer(cli, pictures, options.output)
    if options.what == "relevance":
        return inspect_relevance.answer(cli, pictures, options.rule or "z_plus", options.output)
    queries = _queries(options.query, pictures)
    if options.what == "affine":
        return inspect_affine.answer(cli, pictures, queries, options.output)
    if options.what == "ntk":
        return inspect_kernel.answer(cli, pictures, options.output)
    with at_work("looking at pictures"):
        seen = [{graph.place: graph for graph in look(cli.model.network, shown.input)} for shown in pictures]
    with at_work("drawing", len(blocks)) as step:
        for place, block in blocks.items():
            found = [(shown, graph[place]) for shown, graph in zip(pictures, seen, strict=True) if place in graph]
            _write(options.output, place, block, found, queries)
            step()
    return None


def _refuse_others(options: Namespace) -> None:
    """Refuse options that are of another question.

    Raises:
        ValueError: If there is one, or nothing to look at.
    """
    for name, kinds in READ_BY.items():
        if getattr(options, name) and options.what not in kinds:
            raise ValueError(f"inspect: --{name} is not for --what {options.what}; it is for {', '.join(kinds)}")
    if options.what in READ_BY["samples"] and not options.images and not options.samples:
        files = "--images FILE … or " if options.what in READ_BY["images"] else ""
        raise ValueError(f"inspect: nothing to look at; give {files}--samples N …, of the test split")


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
