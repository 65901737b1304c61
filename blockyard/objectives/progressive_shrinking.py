"""A network, and ever smaller ones within it, trained together."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from blockyard.backbones import Backbone, ElasticMobileNet, FrontEnded
from blockyard.backbones.elastic import Borrower, Choices, Sharing, Space, elastic_part, space_of, sub_network
from blockyard.blocks.convolutions.convolution import LINEAR
from blockyard.objectives.base import Learner, Logged
from blockyard.objectives.piecewise import Piecewise, Taken, stream
from blockyard.objectives.supervision import Supervision

KERNELS, DEPTHS, EXPANSIONS = 1, 2, 3
"""Phases, by what becomes elastic; before the first of them the whole network trains alone."""


class ProgressiveShrinking(Piecewise, Supervision):
    """The mean of ℓ(f) + λ H(t, f) over the whole network f and some within it, drawn anew in each step.

    Networks within an :class:`~blockyard.backbones.ElasticMobileNet` have smaller kernels in its units, fewer units in
    its stages, and fewer channels in its units. They share its weights: the first units of a stage; of a unit the
    channels that the layer behind them weighs most, by L1, when that choice opens; of a kernel its centre, and that
    through a matrix that all channels of a layer share and that begins as the identity. First the whole network trains
    alone. What it gives then, t, is what all learn from that follow, beside the labels: kernels become elastic, then
    depths, then channels too (Cai et al., Once-for-All, ICLR 2020). H is the cross entropy.

    The whole network is one of those that a step trains, where the paper draws it as any other: so the statistics of
    its norms are its own, and a validation, which looks at it, needs none taken anew. Networks within use those of each
    batch; :meth:`extracted` gives one as a network of its own, for
    :func:`~blockyard.compression.statistics.recalibrate` to take its statistics. All values of a phase open at once.

    Matrices, orders of channels and the teacher are here, and in no exported network. It makes its own steps, so that
    accumulation and clipping by the trainer are refused.

    Args:
        kernels: Taps along each axis that a unit may have beside its own, of these those that are fewer; None takes 3,
            5 and 7.
        depths: Units that a stage may have beside its own number, those that are fewer; None takes 2, 3 and 4.
        expansions: How many times more channels a unit may have inside, those that are fewer; None takes 3, 4 and 6.
        begins: When kernels, depths and expansions open, shares of the training; None takes 0.3, 0.5 and 0.75, about
            where the paper has them. At 0 the teacher is the network as it begins, for one that is trained already.
        drawn: How many networks within a step trains beside the whole.
        distillation: λ.
        resolutions: Shares of an input's size along each axis, one of which a step draws to train at, the whole
            size among them; behind a front end, of what that gives. None is the whole size alone.
        seed: What draws, together with the number of the step: the same on every process, and when a run goes on.

    Raises:
        ValueError: If the beginnings are not three shares in ascending order, resolutions no shares, λ is negative or
            no network is drawn.
    """

    paper: ClassVar[str] = (
        "Cai et al., Once-for-All: Train One Network and Specialize it for Efficient Deployment, ICLR 2020"
    )
    space: Space
    """What networks there are to extract, once it is attached."""

    def __init__(
        self,
        kernels: list[int] | None = None,
        depths: list[int] | None = None,
        expansions: list[float] | None = None,
        begins: list[float] | None = None,
        drawn: int = 2,
        distillation: float = 1.0,
        resolutions: list[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.kernels = [3, 5, 7] if kernels is None else kernels
        self.depths = [2, 3, 4] if depths is None else depths
        self.expansions = [3.0, 4.0, 6.0] if expansions is None else expansions
        self.begins = [0.3, 0.5, 0.75] if begins is None else begins
        self.resolutions = sorted({1.0, *(resolutions or [])})
        if len(self.begins) != 3 or sorted((0, *self.begins, 1)) != [0, *self.begins, 1]:
            raise ValueError(f"{_NAME} begins must be three shares of the training, ascending, got {self.begins}")
        if self.resolutions[0] <= 0 or self.resolutions[-1] > 1:
            raise ValueError(f"{_NAME} resolutions must be above 0 and up to 1, got {resolutions}")
        if drawn < 1 or distillation < 0:
            raise ValueError(f"{_NAME} drawn={drawn} must be positive, distillation={distillation} not negative")
        self.drawn, self.distillation, self.seed = drawn, distillation, seed
        self.register_buffer("begun", torch.tensor(0))
        self._begun: int | None = 0

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Find what networks there are within, and make room for what they share and for the teacher.

        Args:
            task: Holds the network.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If this is no classification, or the network has no others within; one line.
        """
        super().attach(task, input_shape)
        network = elastic_part(task.network)
        try:
            self.space = space_of(network, self.kernels, self.depths, self.expansions)
        except ValueError as error:
            raise ValueError(f"{_NAME} {error}") from error
        if self.space.count == 1:
            raise ValueError(f"{_NAME} no kernel, depth or expansion is below the network's own")
        self.sharing = Sharing(network, [taps[:-1] for taps in self.space.kernels])
        self.teacher = copy.deepcopy(network)
        for module in self.teacher.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, parameter.detach())  # which no optimiser sees, and no process waits for

    def opened(self, phase: int) -> Space:
        """What networks there are in a phase: 0 has the whole alone, 1 elastic kernels, 2 depths too, 3 all."""
        names = [name for name, opens in _OPENS.items() if phase < opens]
        return replace(self.space, **{name: tuple(own[-1:] for own in getattr(self.space, name)) for name in names})

    def phase(self, task: Any) -> int:
        """The phase of the step that comes next.

        Raises:
            ValueError: If the training has no end.
        """
        if not any(self.begins):
            return EXPANSIONS
        steps = task.trainer.estimated_stepping_batches
        if steps == math.inf:
            raise ValueError(f"{_NAME} phases are shares of a run, which has no end: set trainer.max_epochs")
        return sum(task.global_step >= round(begins * steps) for begins in self.begins)

    def draw(self, step: int, phase: int) -> list[Choices]:
        """The networks within that the step of that number trains beside the whole, in a phase."""
        space, generator = self.opened(phase), stream(self.seed, step)
        return [space.draw(generator) for _ in range(self.drawn if phase else 0)]

    def resolution(self, step: int) -> float:
        """The share of an input's size that the step of that number trains at."""
        return self.resolutions[int(torch.randint(len(self.resolutions), (), generator=stream(self.seed, step)))]

    def pieces(self, task: Any, batch: dict[str, Any], taken: Taken) -> tuple[Tensor, Logged]:
        """The mean over the networks of a step for ``input`` ``(B, C, *S)`` with its labels."""
        x, target = task.mixed(batch)
        network, step, phase = elastic_part(task.network), task.global_step, self.phase(task)
        x = task.network.front_end(x) if isinstance(task.network, FrontEnded) else x
        x = _resized(x, self.resolution(step))
        if phase:
            self._begin(network, phase)
        taught = self._taught(task, x) if phase and self.distillation else None
        within, parts, losses = self.draw(step, phase), list[Tensor](), Logged()
        for number, choices in enumerate([None, *within]):
            features, logits = self._run(network, choices, x)
            loss = task.loss_of(features, logits, target)
            if taught is not None:
                loss = loss + self.distillation * _distance(task, logits, taught)
            losses[f"network{number}_loss" if number else "whole_loss"] = loss.detach()
            parts.append(taken(loss / (1 + len(within))))
        return torch.stack(parts).sum(), losses if phase else Logged()

    def extracted(self, network: Backbone, choices: Choices) -> Backbone:
        """A network of its own, with copies of weights, which a batch ``(B, C, *S)`` passes as it did in training.

        The running statistics of its norms are the whole network's, which do not hold in it.

        Args:
            network: The task's.
            choices: One of :attr:`space`.

        Raises:
            ValueError: If it is none of these.
        """
        if choices not in self.space:
            raise ValueError(f"{_NAME} {choices} is none of its {self.space.count:,} networks")
        return sub_network(network, choices, self.sharing)

    def _run(self, network: ElasticMobileNet, choices: Choices | None, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, and the logits ``(B, K)``, of the whole network or one within."""
        if choices is None:
            return network.map_and_logits(x)
        return Borrower(network, choices).borrow(network, self.sharing, x)

    def _begin(self, network: ElasticMobileNet, phase: int) -> None:
        """What happens once: the teacher learns all that the network knows, and channels get their order."""
        if self._begun is None:  # a checkpoint was loaded
            self._begun = int(self.get_buffer("begun"))
        if not self._begun:
            self.teacher.load_state_dict(network.state_dict())
        if self._begun < EXPANSIONS <= phase:
            self.sharing.sort(network)
        if self._begun < phase:
            self._begun = phase
            self.get_buffer("begun").fill_(phase)

    @torch.no_grad()
    def _taught(self, task: Any, x: Tensor) -> Tensor:
        """The teacher's probabilities ``(B, K)`` of ``(B, C, *S)``."""
        logits: Tensor = self.teacher.eval()(x)
        probabilities: Tensor = task.probabilities(logits)
        return probabilities

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        self._begun = None


_NAME = "objective: ProgressiveShrinking:"
_OPENS = {"kernels": KERNELS, "depths": DEPTHS, "expansions": EXPANSIONS}


def _distance(task: Any, logits: Tensor, taught: Tensor) -> Tensor:
    """The mean cross entropy of logits ``(B, K)`` beside probabilities; of tags that of each by itself."""
    if getattr(task, "multi_label", False):
        return F.binary_cross_entropy_with_logits(logits, taught.to(logits))
    return F.cross_entropy(logits, taught.to(logits))


def _resized(x: Tensor, share: float) -> Tensor:
    """``(B, C, *S)`` with that share of positions along each axis."""
    if share == 1:
        return x
    size = [max(1, round(share * n)) for n in x.shape[2:]]
    return F.interpolate(x, size, mode=LINEAR[x.dim() - 2])
