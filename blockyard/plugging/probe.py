"""What passes each place of a network: two forwards at two input sizes, leaving no trace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.plugging.inputs import candidates, describe, maps, resized
from blockyard.plugging.places import Place, PlugError, closed

Shape = tuple[int, ...]
TOO_SMALL = re.compile("Kernel size can't be greater than|[Oo]utput size is too small|Expected more than 1 ")
"""What torch says of a map from which a layer can make nothing."""


class Calls:
    """What each call of a module took and gave."""

    inputs: Sequence[Shape | None]
    outputs: Sequence[Shape | None]

    @property
    def runs(self) -> int:
        """How often it was called."""
        return len(self.outputs)

    @property
    def input(self) -> Shape | None:
        """Shape of its first input."""
        return self.inputs[0] if self.inputs else None

    @property
    def output(self) -> Shape | None:
        """Shape of its first output."""
        return self.outputs[0] if self.outputs else None


@dataclass
class Trace(Calls):
    """What one module did in one forward.

    Args:
        inputs: Of each call the input's shape, or None if it was not called with one tensor and nothing else.
        outputs: Of each call the output's shape, or None if that was not one tensor.
        kind: Type of what it gave.
        device: Device of its output.
        dtype: Type of its output's numbers.
    """

    inputs: list[Shape | None] = field(default_factory=list)
    outputs: list[Shape | None] = field(default_factory=list)
    kind: str = "nothing"
    device: torch.device | None = None
    dtype: torch.dtype | None = None

    def record(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Take note of one call."""
        alone = len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
        self.inputs.append(tuple(args[0].shape) if alone else None)
        self.kind = type(output).__name__
        mapped = isinstance(output, Tensor)
        self.outputs.append(tuple(output.shape) if mapped else None)
        if mapped:
            self.device, self.dtype = output.device, output.dtype


@dataclass
class Reading:
    """What one place does at two input sizes; ``second`` is None where the network takes only one size."""

    place: Place
    first: Trace
    second: Trace | None
    aspect: Shape
    """Height and width of the network's input, if it has them."""
    twin: str | None
    """Another path under which the network holds the same module."""
    closed: str | None
    """Why the network takes no block there, as it says itself."""


@dataclass
class Probe:
    """The readings of a network's places.

    Args:
        readings: One a place.
        first: The input at which the whole network ran.
        outputs: Shapes of each place's outputs there, one a call.
        check: The cheapest input that reaches every place, and the shapes there.
    """

    readings: list[Reading]
    first: tuple[Any, ...]
    outputs: list[list[Shape | None]]
    check: tuple[tuple[Any, ...], list[list[Shape | None]]]


class _AllSeen(BaseException):
    """Ends a forward early; not an Exception, so that no network catches it."""


def probe(network: nn.Module, places: Sequence[Place], example: Any = None, *, declared: bool = False) -> Probe:
    """Run the network at two input sizes and note what passes the places.

    Args:
        network: A network that is not compiled.
        places: Where to look.
        example: An input: tensor, shape ``(B, C, *S)``, or tuple of arguments. Guessed if None.
        declared: Guess the size that the network declares, not a small one.

    Raises:
        PlugError: If the network does not run.
    """
    modules = {id(place.module): place.module for place in places}
    keys = [id(place.module) for place in places]
    with undisturbed(network):
        first, traces = _complete_forward(network, modules, example, declared)
        ran = {key: trace for key, trace in traces.items() if trace.runs}
        others, check = _other_forwards(network, {key: modules[key] for key in ran}, first, ran)
    twins = _twins(network, places)
    aspect = next((tuple(t.shape[-2:]) for t in maps(first) if t.dim() > 3), ())
    readings = [
        Reading(place, traces[key], others.get(key), aspect, twins.get(key), closed(network, place.path))
        for place, key in zip(places, keys, strict=True)
    ]
    inputs, seen = check or (first, traces)
    shapes = [seen[key].outputs if key in seen else [] for key in keys]
    return Probe(readings, first, [traces[key].outputs for key in keys], (inputs, shapes))


def run(
    network: nn.Module,
    modules: dict[int, nn.Module],
    inputs: tuple[Any, ...],
    traces: dict[int, Trace],
    *,
    calls: dict[int, int] | None = None,
) -> None:
    """One forward, to be called under :func:`undisturbed`.

    Args:
        network: What is run.
        modules: What is watched.
        inputs: The network's arguments.
        traces: Filled for the modules that run, also if the network then fails.
        calls: Stop when every module has run as often as this says, instead of going on to the end.
    """
    missing = dict(calls or {})

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        trace = traces.setdefault(id(module), Trace())
        trace.record(args, kwargs, output)
        if trace.runs >= missing.get(id(module), trace.runs + 1):
            del missing[id(module)]
        if calls is not None and not missing:
            raise _AllSeen

    handles = [module.register_forward_hook(hook, with_kwargs=True) for module in modules.values()]
    try:
        network(*inputs)
    except _AllSeen:
        pass
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Evaluation without gradients; training modes, buffers and random streams are as before afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    fused = torch.backends.mha.get_fastpath_enabled()  # in evaluation it calls no child of a TransformerEncoderLayer
    devices = {p.device for p in network.parameters() if p.is_cuda}
    try:
        for module, _ in modes:  # not network.eval(): mmsegmentation's train() freezes parameters
            module.training = False
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.no_grad(), torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, mode in modes:
            module.training = mode
        for module, name, buffer, before in buffers:
            module._buffers[name] = buffer
            if not _same(buffer, before):
                with torch.no_grad():
                    buffer.copy_(before)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.is_meta or torch.equal(a, b)


def _complete_forward(
    network: nn.Module, modules: dict[int, nn.Module], example: Any, declared: bool
) -> tuple[tuple[Any, ...], dict[int, Trace]]:
    tried, problem, own = [], "", ""
    for inputs in candidates(network, example, declared=declared):
        traces = {key: Trace() for key in modules}
        try:
            run(network, modules, inputs, traces)
            return inputs, traces
        except Exception as error:
            tried.append(describe(inputs))
            problem = first_line(error)
            own = problem.partition(": ")[2] if isinstance(error, ValueError) else ""
    name = type(network).__name__
    if example is not None and own.startswith(name):  # the network's own words
        raise PlugError(f"{own} (the example is {tried[0]})")
    small = "it is too small for so many strides; " if TOO_SMALL.search(problem) else ""
    if example is not None:
        raise PlugError(f"{name} does not run on the example {tried[0]}: {small}{problem}")
    raise PlugError(
        f"{name} runs on none of the inputs tried, {'; '.join(tried)}; pass example=. The last said: {problem}"
    )


def _other_forwards(
    network: nn.Module, modules: dict[int, nn.Module], inputs: tuple[Any, ...], first: dict[int, Trace]
) -> tuple[dict[int, Trace], tuple[tuple[Any, ...], dict[int, Trace]] | None]:
    """What passes at another size, and the first other input that reaches every module.

    A head of fixed size may fail behind the modules, and a network of fixed size reaches none: what was reached
    counts. Further sizes are tried for modules that were not reached and, on small inputs, for maps of one pixel.
    """
    others: dict[int, Trace] = {}
    check = None
    calls = {key: trace.runs for key, trace in first.items()}
    shrinks, sizes = resized(inputs)
    for size in sizes if modules else ():
        traces: dict[int, Trace] = {}
        with suppress(Exception):
            run(network, modules, size, traces, calls=calls)
        if check is None and all(key in traces and traces[key].runs >= calls[key] for key in modules):
            check = (size, traces)
        others |= {key: trace for key, trace in traces.items() if key not in others or _moved(first[key], trace)}
        if len(others) == len(modules) and (shrinks or all(_moved(first[key], others[key]) for key in modules)):
            break
    return others, check


def _moved(first: Trace, second: Trace) -> bool:
    """Whether the size follows the input, as far as that can be asked of what the module gave."""
    if first.output is None or second.output is None or len(first.output) < 3:
        return True
    return first.output[1:] != second.output[1:]


def _twins(network: nn.Module, places: Iterable[Place]) -> dict[int, str]:
    names: dict[int, list[str]] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    return {id(place.module): found[1] for place in places if len(found := names[id(place.module)]) > 1}


def first_line(error: BaseException) -> str:
    """Type and first line of an error, for a message of one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
