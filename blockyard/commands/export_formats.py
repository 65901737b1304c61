"""Capturing a network as a graph, and the file formats that take one."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic

from blockyard.portable import AXES, Card, Portable

Shape = tuple[int, ...]
Run = Callable[[Tensor], Tensor]
CARD_FILE = "blockyard.json"
"""Where a ``.pt2`` file holds its card, as torch.export's ``extra_files``."""


class RefusedError(Exception):
    """The network, or what became of it, does not take inputs of some size; one line."""


class EngineRefusedError(RefusedError):
    """What became of the network does not take inputs of a size that the network takes; one line."""


class DiffersError(Exception):
    """What became of the network gives something else than the network; one line."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        suffix: Of its name.
        needs: Packages without which it can't be written.
        engine: What runs it.
        write: Makes its bytes.
        read: Makes it run; None where the engine is not installed.
    """

    suffix: str
    needs: tuple[str, ...]
    engine: str
    write: Callable[[ExportedProgram, Card], bytes]
    read: Callable[[bytes], Run | None]


def capture(portable: Portable, freedom: Collection[str], oblivious: bool = False) -> ExportedProgram:
    """The network as one graph.

    Args:
        portable: The network, in evaluation mode.
        freedom: What may vary, of ``batch`` and ``size``. The exporter still fixes an axis that the network compares
            with a number, as networks with learned positions do.
        oblivious: Whether to take no notice that a size of 1 may be a special case: without that, a graph can refuse a
            batch of one, or a map of 1×1, for the sake of how a tensor lies in memory.

    Raises:
        RefusedError: If the network decides by values or sizes so that no graph can say it.
    """
    shape = portable.card.input_shape
    axes = [*([0] if "batch" in freedom else []), *(range(2, len(shape) + 1) if "size" in freedom else [])]
    try:
        # Two samples: one would be taken for a constant.
        with symbolic.patch(backed_size_oblivious=oblivious):  # type: ignore[attr-defined]
            return torch.export.export(
                portable, (torch.rand(2, *shape),), dynamic_shapes=(dict.fromkeys(axes, Dim.AUTO),)
            )
    except Exception as error:  # the exporter raises dozens of types
        raise RefusedError(" ".join(str(error).split())[:200]) from error


def _input(program: ExportedProgram) -> list[Any]:
    """The sizes of the input: numbers, and symbols where they may vary."""
    name = program.graph_signature.user_inputs[0]
    shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == name)
    # A symbol that the network compared with a number is left as that number in a symbol's guise.
    return [size if isinstance(size, torch.SymInt) and size.node.expr.free_symbols else int(size) for size in shape]


def dynamic_axes(program: ExportedProgram) -> tuple[bool, ...]:
    """Which axes of the input may vary."""
    return tuple(isinstance(size, torch.SymInt) for size in _input(program))


def trial_shapes(program: ExportedProgram, shape: Shape) -> list[Shape]:
    """Shapes to compare at: as in training, about a quarter larger, of another form, and down to the smallest.

    Lengths are odd where the graph allows it, and batches of one and of several.
    """
    batch, _, *sizes = _input(program)
    free = isinstance(batch, torch.SymInt)
    trials = []
    for samples, factors in TRIALS:
        lengths = zip(sizes, shape[1:], strict=True)
        found = [_length(size, length, factors[axis % 2]) for axis, (size, length) in enumerate(lengths)]
        trials.append((samples if free else 2, shape[0], *found))
    return list(dict.fromkeys(trials))


TRIALS = (
    *((1, (1.0, 1.0)), (3, (1.25, 1.25)), (2, (0.6, 1.4))),
    *((1, (0.25, 0.25)), (1, (-2.0, -2.0)), (3, (-1.0, -1.0)), (1, (-1.0, -1.0))),
)
"""Samples, and factors of the training's lengths, by turns; a negative one is of the smallest length of an axis."""
NEEDED = 3
"""Of these trials, so many at the front have to run; the smallest ones many networks refuse."""


def _length(size: Any, length: int, factor: float) -> int:
    """A length that an axis also takes; where the graph asks for multiples, such as ``32 * s``, one of them."""
    if not isinstance(size, torch.SymInt) or factor == 1:
        return length
    step = int(size.node.expr.as_coeff_Mul()[0])
    if factor < 0:
        return int(-factor) * step
    steps = int(factor * length / step) + (factor > 1)
    return steps | 1 if step == 1 else step * max(1, steps)


def _write_torch(program: ExportedProgram, card: Card) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={CARD_FILE: json.dumps(card.items())})
    return file.getvalue()


def _read_torch(content: bytes) -> Run:
    return torch.export.load(io.BytesIO(content)).module()


def _write_onnx(program: ExportedProgram, card: Card) -> bytes:
    try:
        made = torch.onnx.export(program, dynamo=True, input_names=["input"], output_names=["output"], verbose=False)
    except Exception as error:  # it has types of its own, and says what is missing in the innermost one
        raise RefusedError(f"ONNX has no counterpart: {_innermost(error)}") from error
    assert made is not None
    model = made.model_proto
    _name_axes(model.graph, len(card.input_shape) - 1)
    for key, value in card.items().items():
        model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    if model.ByteSize() >= 2**31:
        raise ValueError("export: the network has more than 2 GB of weights, which one ONNX file can't hold")
    return model.SerializeToString()


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:200] or type(error).__name__


def _name_axes(graph: Any, rank: int) -> None:
    """Call axes ``batch`` and ``height`` in place of the exporter's ``s77`` and ``s53``; make numbers of numbers."""
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param.isdigit():
                axis.dim_value = int(axis.dim_param)
    axes = graph.input[0].type.tensor_type.shape.dim
    called = zip(axes, ("batch", "", *AXES[rank]), strict=True)
    names = {axis.dim_param: name for axis, name in called if name and axis.dim_param}
    del graph.value_info[:]  # repeats the exporter's names throughout, and whoever runs it infers them again
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in names:
                axis.dim_param = names[axis.dim_param]


def _read_onnx(content: bytes) -> Run | None:
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        return None
    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(["output"], {"input": x.numpy()})[0])


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript"), "onnxruntime", _write_onnx, _read_onnx),
    "torch": Format(".pt2", (), "torch.export", _write_torch, _read_torch),
}
