"""``blockyard inspect --what landscape``: how the loss and its gradient change along steps from a checkpoint."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

from torch import Tensor

from blockyard import files
from blockyard.analysis.landscape import STEPS, Landscape, landscape, refuse_steps
from blockyard.analysis.landscape_drawing import draw_steps, numbers, to_json
from blockyard.composing.suite import SuiteCLI
from blockyard.progress import at_work

BATCHES = 4


def answer(cli: SuiteCLI, options: Namespace) -> None:
    """Write ``landscape.png`` and ``landscape.json`` of training batches, and say the constants.

    Args:
        cli: With network, objective and data.
        options: ``batches``, ``steps`` and ``output``.

    Raises:
        ValueError: If a step is not positive, no batch is asked for, or the objective follows no gradient of one loss.
    """
    task: Any = cli.model
    refuse_steps(steps := tuple(options.steps or STEPS))
    wanted = BATCHES if options.batches is None else options.batches
    if wanted < 1:
        raise ValueError(f"--batches {wanted} must be positive")
    if task.objective.steps_itself:
        raise ValueError(f"inspect: {type(task.objective).__name__} makes steps that follow no one loss's gradient")
    task.train()
    found: dict[str, Landscape] = {}
    with at_work("measuring", wanted) as step:
        for number, batch in enumerate(_batches(cli.datamodule, wanted), 1):
            found[f"batch {number}"] = landscape(task, partial(_loss, task, batch), steps)
            step()
    rows = [{"batch": number, **numbers(one)} for number, one in enumerate(found.values(), 1)]
    files.write(options.output / "landscape.json", to_json(rows))
    files.write(options.output / "landscape.png", draw_steps(found))
    lipschitz, smoothness = (
        median(getattr(one, name) for one in found.values()) for name in ("lipschitz", "smoothness")
    )
    print(
        f"medians over {len(found)} training batches, along steps of {', '.join(f'{one:g}' for one in steps)}: "
        f"Lipschitz {lipschitz:.3g}, smoothness {smoothness:.3g}: {options.output / 'landscape.png'}, "
        f"{options.output / 'landscape.json'}"
    )


def _batches(data: Any, wanted: int) -> Iterator[dict[str, Any]]:
    """The first batches of a training, augmented as those are."""
    for batch in islice(data.train_dataloader(), wanted):
        yield data.on_before_batch_transfer(batch, 0)


def _loss(task: Any, batch: dict[str, Any]) -> Tensor:
    loss: Tensor = task.objective.loss(task, batch)[0]
    return loss
