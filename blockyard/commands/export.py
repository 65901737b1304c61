"""The verb ``export``: a trained network as ONNX, as a torch.export program, or as a folder of the Hugging Face hub."""

from __future__ import annotations

import importlib
import logging
import warnings
from argparse import Namespace
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from blockyard import files
from blockyard.commands.export_formats import (
    FORMATS,
    NEEDED,
    DiffersError,
    EngineRefusedError,
    Format,
    RefusedError,
    Run,
    Shape,
    capture,
    dynamic_axes,
    trial_shapes,
)
from blockyard.hub import from_checkpoint, save_pretrained
from blockyard.plugging import merge
from blockyard.portable import AXES, Portable
from blockyard.progress import at_work

TOLERANCE = 1e-4
"""Largest difference to the network, relative to its largest output.

Engines sum in other orders: about 1e-7 a layer in float32. A branch that was taken wrongly differs by far more."""
FREEDOM = (("batch", "size"), ("batch",), ())
"""What may vary in the exported program: all that can, or less where the network does not let itself be captured so."""

TALKATIVE = ("torch.fx.experimental.symbolic_shapes", "torch.onnx", "onnxscript", "torch.export")
"""Loggers of the exporters."""


def main(known: Namespace, options: list[str]) -> int:
    """Run the verb.

    Args:
        known: What :func:`~blockyard.commands.options.export` reads.
        options: The other command line tokens.

    Returns:
        0.

    Raises:
        ValueError: If the arguments are wrong, something is not installed, or what was exported does not do what the
            network does; then nothing is written.
    """
    suffix = "" if known.format == "huggingface" else FORMATS[known.format].suffix
    output = known.output or known.ckpt_path.with_name(f"{known.ckpt_path.stem}{suffix or '-huggingface'}")
    if suffix and output.is_dir():
        raise ValueError(f"export: {output} is a folder; --output names the file, such as {output / f'best{suffix}'}")
    if suffix:
        _require(FORMATS[known.format])
    portable = from_checkpoint(known.ckpt_path, options)
    if known.format == "huggingface":
        folder = save_pretrained(portable, output, records=known.records)
        print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
        return 0
    with at_work(f"exporting by {FORMATS[known.format].engine}, and comparing"):
        content, report = export(portable, known.format)
    files.write(output, content)
    print("\n".join([f"{output}: {len(content) / 2**20:.1f} MB", *report]))
    return 0


def _require(form: Format) -> None:
    for package in form.needs:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ValueError(
                f"export: {package} is not installed: pip install 'blockyard[export]'; --format torch needs none"
            ) from error


def export(portable: Portable, name: str) -> tuple[bytes, list[str]]:
    """A network as the bytes of a file, and what there is to say about it, in lines.

    Args:
        portable: The network.
        name: One of :data:`~blockyard.commands.export_formats.FORMATS`.

    Raises:
        ValueError: If it can't be captured, or what was made of it gives something else than the network.
    """
    form, merged = FORMATS[name], merge(portable)
    refusal = difference = ""
    best: _Exported | None = None
    for freedom in FREEDOM:
        for oblivious in (True, False):
            try:
                with _quiet(), torch.no_grad():
                    found = _captured(form, merged, portable, freedom, oblivious)
            except RefusedError as error:
                refusal = refusal or str(error)
            except DiffersError as error:
                difference = difference or str(error)
                break
            else:
                best = found if best is None or len(found.refuses) < len(best.refuses) else best
                if not best.refuses:
                    break
        if best is not None:
            why = difference or "the network takes no other"
            return best.content, [_signature(best.dynamic, portable, why), *best.report]
    if difference:
        raise ValueError(f"export: {difference}: nothing was written")
    raise ValueError(f"export: {type(portable.network).__name__} can't be exported: {refusal}")


@dataclass(frozen=True)
class _Exported:
    """A network as a file, compared with itself.

    Args:
        content: Its bytes.
        dynamic: Which axes of the input may vary.
        report: How it was compared, and what it does not take, in lines.
        refuses: Shapes that the network takes and the file does not.
    """

    content: bytes
    dynamic: tuple[bool, ...]
    report: list[str]
    refuses: list[Shape]


def _captured(
    form: Format, merged: Portable, portable: Portable, freedom: Collection[str], oblivious: bool
) -> _Exported:
    """Capture a merged network, write it, and run what was written beside the network on the same inputs.

    Raises:
        RefusedError: If it can't be captured, or either does not run at a size that is not among the smallest.
        DiffersError: If what was written gives something else.
    """
    program = capture(merged, freedom, oblivious)
    content, dynamic = form.write(program, portable.card), dynamic_axes(program)
    run = form.read(content)
    if run is None:
        return _Exported(content, dynamic, [f"not compared with the network: {form.engine} is not installed"], [])
    differences: dict[Shape, float] = {}
    refuses = []
    for place, shape in enumerate(trial_shapes(program, portable.card.input_shape)):
        try:
            differences[shape] = _difference(portable, run, shape)
        except RefusedError as error:
            if place < NEEDED:
                raise
            if isinstance(error, EngineRefusedError):
                refuses.append(shape)
    tried, worst = " and ".join(map(_text, differences)), max(differences.values())
    report = [f"compared by {form.engine} at {tried}: differs by {worst:.1e} of the largest output at most"]
    if refuses:
        report.append(f"refuses {' and '.join(map(_text, refuses))}, which the network takes")
    return _Exported(content, dynamic, report, refuses)


def _difference(portable: Portable, run: Run, shape: Shape) -> float:
    """Largest difference between a network and what was written of it, relative to the network's largest output.

    Raises:
        RefusedError: If one of them does not run.
        DiffersError: If it is more than :data:`TOLERANCE`.
    """
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x = x if portable.card.mean or len(shape) > 3 else 2 * x - 1
    try:
        expected = portable(x)
    except Exception as error:  # networks that refuse a size have their own types
        raise RefusedError(f"at {_text(shape)}: {' '.join(str(error).split())[:200]}") from error
    try:
        given = run(x)
    except Exception as error:  # and so has each engine
        raise EngineRefusedError(f"at {_text(shape)}: {' '.join(str(error).split())[:200]}") from error
    differs = f"at {_text(shape)} what was exported differs from the network"
    if given.shape != expected.shape:
        raise DiffersError(f"{differs} in the shape of its output")
    largest = float(expected.abs().max())
    difference = float((given - expected).abs().max()) / max(largest, torch.finfo(torch.float32).tiny)
    if not difference <= TOLERANCE:
        raise DiffersError(f"{differs} by {difference:.1e} of its largest output, allowed is {TOLERANCE:.0e}")
    return difference


def _signature(dynamic: tuple[bool, ...], portable: Portable, why: str) -> str:
    """What goes in and out, and plainly which axes can't change, and why."""
    shape = portable.card.input_shape
    names = ("batch", "channels", *AXES[len(shape) - 1])
    axes = [name if free else str(size) for name, free, size in zip(names, dynamic, (2, *shape), strict=True)]
    fixed = [name for name, free in zip(names, dynamic, strict=True) if not free and name != "channels"]
    said = f"; {' and '.join(fixed)} can't change: {why}" if fixed else ""
    return f"input: float32 ({', '.join(axes)}), {portable.card.takes}{said}\noutput: {portable.card.output}"


def _text(shape: Shape) -> str:
    return "×".join(map(str, shape))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters say of their own insides from people."""
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in TALKATIVE:
                logging.getLogger(name).setLevel(logging.ERROR)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
