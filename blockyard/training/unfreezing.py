"""A network that thaws from its end to its beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from blockyard.plugging import stage_paths
from blockyard.training.freezing import Frozen, find_frozen
from blockyard.training.parameter_groups import layers


class ProgressiveUnfreezing(Callback):
    """Freezes parts of a network, and thaws one after another every n epochs, from the end to the beginning.

    At epoch t the first ⌊t / n⌋ parts train; what is in no part does from the start. What is frozen is so as by
    ``freeze``, to the bit: no gradient, no weight decay, batch norms and all else in evaluation; plugged blocks train
    unless a pattern names them. It depends on the epoch alone, and the optimiser holds all parameters from the start in
    the same groups, so that a resumed run goes on exactly. What ``freeze`` names stays frozen. Isong, Building
    Efficient Lightweight CNN Models, arXiv 2025.

    Lightning's BaseFinetuning adds a group of parameters to the optimiser at each thaw, and frozen batch norms go on
    learning there, or normalise by each batch.

    Args:
        every: n.
        parts: In the order of their thaw, names of modules or parameters, each one or several, as ``freeze`` has them;
            None is the stages from the last to the first, which goes with what stands before it.

    Raises:
        ValueError: If ``every`` is not positive or there is no part; when training starts, if a name fits nothing,
            nothing is left to train, the training ends before the last thaw, or several processes expect gradients of
            all parameters.
    """

    only_watches: ClassVar[bool] = False

    paper: ClassVar[str] = "Isong, Building Efficient Lightweight CNN Models, arXiv 2025"
    slot: ClassVar[str] = "schedule"

    def __init__(self, every: int = 1, parts: list[str | list[str]] | None = None) -> None:
        if every < 1 or (parts is not None and not all(parts)) or parts == []:
            raise ValueError(f"ProgressiveUnfreezing: every={every} must be positive, and parts={parts} some names")
        self.every, self.parts = every, parts
        self._own = Frozen()
        self._frozen: list[Frozen] = []
        self._held: dict[str, nn.Parameter] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the parts, and freeze those of the epoch that a resumed run is in the middle of."""
        task: Any = pl_module
        if trainer.world_size > 1 and not getattr(trainer.model, "find_unused_parameters", False):
            raise ValueError(
                "ProgressiveUnfreezing: several processes wait for the gradients of frozen parts; "
                "--trainer.strategy ddp_find_unused_parameters_true does not"
            )
        given = default_parts(task.network) if self.parts is None else self.parts
        parts = [[part] if isinstance(part, str) else part for part in given]
        ends = -1 if trainer.fast_dev_run or trainer.max_epochs is None else trainer.max_epochs  # type: ignore[attr-defined]
        if 0 <= ends <= self.every * len(parts):
            raise ValueError(
                f"ProgressiveUnfreezing: the last of {len(parts)} parts would thaw after {self.every * len(parts)} "
                f"epochs, and the training has {ends}"
            )
        self._own = task.frozen
        left = [[name for part in parts[thawed:] for name in part] for thawed in range(len(parts) + 1)]
        self._frozen = [_joined(self._own, find_frozen(task.network, names)) for names in left]
        learning = {name: one for name, one in task.network.named_parameters() if one.requires_grad}
        self._held = {name: one for name, one in learning.items() if name in self._frozen[0].parameters}
        self._freeze(task, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Thaw the next part, if it is time."""
        self._freeze(pl_module, trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the network as it would be without."""
        self._hold(pl_module, self._own)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the network as it would be without."""
        self._hold(pl_module, self._own)

    def _freeze(self, task: Any, epoch: int) -> None:
        frozen = self._frozen[min(epoch // self.every, len(self._frozen) - 1)]
        if frozen is not task.frozen:
            self._hold(task, frozen)
            print(f"epoch {epoch}, {frozen.line(task.network)}")

    def _hold(self, task: Any, frozen: Frozen) -> None:
        """Let the task rest these parts from now on, and no others that this holds."""
        mode = task.training
        for name, parameter in self._held.items():
            parameter.requires_grad_(name not in frozen.parameters)
        task.frozen = frozen
        task.train(mode)


def default_parts(network: nn.Module) -> Sequence[str | list[str]]:
    """The stages of a network from the last to the first, which comes with all that stands before it.

    Raises:
        ValueError: If the network has no stages.
    """
    inside = getattr(network, "stock_path", "")
    stages = [f"{inside}.{path}".removeprefix(".") for path in stage_paths(network).values()]
    if not stages:
        raise ValueError(f"ProgressiveUnfreezing: {type(network).__name__} has no known stages; give parts")
    layer_of = layers(network)
    first = min(layer for name, layer in layer_of.items() if name.startswith(f"{stages[0]}."))
    stem = [name for name, layer in layer_of.items() if layer < first]
    return [*reversed(stages[1:]), [stages[0], *stem]]


def _joined(one: Frozen, other: Frozen) -> Frozen:
    return Frozen(one.parameters | other.parameters, tuple(dict.fromkeys((*one.modules, *other.modules))))
