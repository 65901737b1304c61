"""Networks that are prefixes of one another, trained together."""

from __future__ import annotations

from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from blockyard.backbones import Backbone
from blockyard.backbones.prefixes import WHOLE, Prefix, corner, prefix_of
from blockyard.objectives.base import Learner, Logged
from blockyard.objectives.piecewise import Piecewise, Taken, stream
from blockyard.objectives.supervision import Supervision
from blockyard.plugging import undisturbed


class SortedNet(Piecewise, Supervision):
    """Σₚ ℓ(fₚ(x)) over some prefixes p of the network f, drawn anew in each step, and one update of all.

    A prefix is the first channels of every layer, the classifier's inputs among them, and the first units of every
    stage: smaller networks lie inside larger ones and share their weights (Valipour et al., SortedNet, arXiv 2023).
    Their gradients are accumulated, each taken as soon as its prefix has run. ``--model.prefix`` chooses one to test,
    predict with, or export; a validation in training looks at the whole network.

    Batch norms are not shared: every prefix has its own, statistics, factors and biases, as switchable ones are (Yu et
    al., Slimmable Neural Networks, ICLR 2019), for the mean and variance of a channel depend on how many lead to it.
    Those of the whole network are in the network, all others here, so that no export and no cost holds them.

    It makes its own steps, so that accumulation and clipping by the trainer are refused.

    Args:
        widths: Fractions of channels, None takes 0.25, 0.5, 0.75 and 1; with blocks plugged in, 1 alone is possible.
        depths: Fractions of units, None takes 1. Each width goes with each depth; the whole network is always there.
        drawn: How many different prefixes a step trains.
        seed: What draws them, together with the number of the step: the same on every process, and when a run goes on.

    Raises:
        ValueError: If a fraction is not above 0 and up to 1, or fewer are there than are to be drawn.
    """

    paper: ClassVar[str] = "Valipour et al., SortedNet, arXiv 2023"

    def __init__(
        self,
        widths: list[float] | None = None,
        depths: list[float] | None = None,
        drawn: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = [0.25, 0.5, 0.75, 1.0] if widths is None else widths, [1.0] if depths is None else depths
        if not all(0 < fraction <= 1 for each in sizes for fraction in each):
            raise ValueError(f"objective: SortedNet: widths and depths are above 0 and up to 1, got {sizes}")
        self.prefixes: list[Prefix] = sorted({WHOLE, *product(*sizes)})
        if not 1 <= drawn <= len(self.prefixes):
            raise ValueError(f"objective: SortedNet: drawn={drawn} of {len(self.prefixes)} prefixes")
        self.drawn, self.seed = drawn, seed
        self.networks = nn.ModuleList()

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Cut the prefixes, and give each its norms.

        Args:
            task: Holds the network.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If this is no classification, the network has no prefixes, or two of them are the same.
        """
        super().attach(task, input_shape)
        network: Any = task.network
        found: dict[tuple[torch.Size, ...], Prefix] = {_shapes(network): WHOLE}
        for prefix in self.prefixes[:-1]:
            part = prefix_of(network, prefix)
            if (same := found.setdefault(_shapes(part), prefix)) != prefix:
                raise ValueError(f"objective: SortedNet: prefixes {list(same)} and {list(prefix)} are the same network")
            with undisturbed(part):
                part(torch.zeros(1, *input_shape))
            self.networks.append(Borrower(part))

    def draw(self, step: int) -> list[int]:
        """Which of the prefixes the step of that number trains, in order."""
        order = torch.randperm(len(self.prefixes), generator=stream(self.seed, step))
        return sorted(order[: self.drawn].tolist())

    def pieces(self, task: Any, batch: dict[str, Any], taken: Taken) -> tuple[Tensor, Logged]:
        """The sum over the prefixes of a step for ``input`` ``(B, C, *S)`` with its labels."""
        x, target = task.mixed(batch)
        losses = Logged()
        for number in self.draw(task.global_step):
            if number == len(self.networks):
                loss = task.training_loss(x, target)
            else:
                network: Any = self.networks[number]
                loss = task.loss_of(*network.borrow(task.network, x), target)
            losses[f"prefix{number + 1}_loss"] = taken(loss)
        return torch.stack(list(losses.values())).sum(), losses

    def refuse_untrained(self, prefix: Prefix) -> None:
        """See that a prefix, not the whole network, is one of those that it trains.

        Raises:
            ValueError: If it is none.
        """
        if prefix not in self.prefixes[:-1]:
            known = ", ".join(str(list(each)) for each in self.prefixes[:-1])
            raise ValueError(f"prefix {list(prefix)} was not trained: there are {known}, and null for the whole")

    def take(self, prefix: Prefix, network: nn.Module, state: dict[str, Tensor]) -> None:
        """Put the weights of a prefix in the place of those of the whole network.

        Args:
            prefix: One of those that were trained.
            network: The prefix as a network of its own, which says their names and shapes.
            state: Tensors, such as ``(C_out, C_in, *S)``, by their names in a task: ``network.…`` and ``objective.…``.
        """
        own = f"objective.networks.{self.prefixes.index(prefix)}."
        whole = {name: state.pop(name) for name in list(state) if name.startswith("network.")}
        for name, tensor in network.state_dict().items():
            name = f"network.{name}"
            state[name] = state[own + name] if own + name in state else corner(whole[name], tensor.shape)


class Borrower(nn.Module):
    """A prefix whose norms are its own, and all of whose other parameters are those of the whole network.

    It maps ``(B, C, *S)`` to its last map and logits ``(B, K)``.

    Args:
        part: The prefix, which loses these.
    """

    def __init__(self, part: Backbone) -> None:
        super().__init__()
        self.network = part
        self.borrowed: dict[str, torch.Size] = {}
        for path, module in part.named_modules():
            if not isinstance(module, _BatchNorm):
                for name, parameter in list(module.named_parameters(path, recurse=False)):
                    self.borrowed[name] = parameter.shape
                    setattr(module, name.rpartition(".")[2], None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, and the logits ``(B, K)``, of ``(B, C, *S)``; to be called by :meth:`borrow`."""
        return self.network.map_and_logits(x)

    def borrow(self, whole: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, and the logits ``(B, K)``, of ``(B, C, *S)``, with gradients in the whole network."""
        lent = {f"network.{name}": corner(whole.get_parameter(name), shape) for name, shape in self.borrowed.items()}
        found: tuple[Tensor, Tensor] = functional_call(self, lent, (x,), tie_weights=False)
        return found


def _shapes(network: nn.Module) -> tuple[torch.Size, ...]:
    return tuple(parameter.shape for parameter in network.parameters())
