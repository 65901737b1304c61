"""One line for a norm that gets a single value: whose mean it is, and which has no variance.

torch says the shape alone. Which layer it was stands in the traceback, so that no network has to be hooked or touched.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

OF_A_CHANNEL, OF_A_MAP = "Expected more than 1 value per channel", "Expected more than 1 spatial element"
"""What torch's norms say."""


def naming_layers(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step of a task that names the layer, and the option to change, where a norm gets a single value.

    Raises:
        ValueError: From the step, if one does.
    """

    @wraps(step)
    def named(task: LightningModule, *args: Any, **kwargs: Any) -> Any:
        try:
            return step(task, *args, **kwargs)
        except Exception as error:
            if OF_A_CHANNEL not in str(error) and OF_A_MAP not in str(error):
                raise
            if isinstance(error, torch._dynamo.exc.TorchDynamoException):  # its traceback knows no layer
                with torch.compiler.set_stance("force_eager"):
                    return named(task, *args, **kwargs)
            raise ValueError(_explained(task, error)) from error

    return named


def _explained(task: LightningModule, error: Exception) -> str:
    layers = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    layer = next(layer for layer in reversed(layers) if isinstance(layer, nn.Module))
    network: Any = task.network
    path = next((name for name, module in network.named_modules() if module is layer), "the network")
    path = path.removeprefix(f"{getattr(network, 'stock_path', '')}.")  # as plugs name it
    sizes = re.search(r"\[([\d, ]+)\]", str(error))
    shape = tuple(map(int, sizes[1].split(","))) if sizes else ()
    got = f"{path} ({type(layer).__name__}) got {shape}, B first"
    larger = _larger_samples(task)
    if OF_A_MAP in str(error):
        return f"{got}: a map of one position has no variance; set {larger}"
    if not task.training:
        return f"{got}: a single value has no variance; set {larger}"
    return f"{got}: in training, one value a channel has no variance; {_larger_batch(task)}" + (
        f", or, if the map was not pooled to one position on purpose, {larger}" if len(shape) > 2 else ""
    )


def _larger_batch(task: LightningModule) -> str:
    world = task._trainer.world_size if task._trainer else 1
    if world == 1:
        return "set data.batch_size to at least 2"
    return f"set data.batch_size to at least {2 * world}, two for each of {world} processes, or trainer.sync_batchnorm"


def _larger_samples(task: LightningModule) -> str:
    data: Any = getattr(task._trainer, "datamodule", None)
    option = next((name for name in ("size", "duration") if name in getattr(data, "hparams", ())), None)
    return f"a larger data.{option}" if option else "larger samples"
