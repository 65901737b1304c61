"""The task's own loss, and how like the maps of another network, which stays as it is, those of the network are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from blockyard.backbones import Backbone, FrontEnded
from blockyard.backbones.weights import following
from blockyard.objectives.base import Learner, Logged, Objective
from blockyard.objectives.supervision import Labelling
from blockyard.objectives.watching import watching
from blockyard.plugging import named_places, stage_paths, undisturbed


class Guidance(Objective):
    """ℓ(f(x)) + λ Σᵢ (1 - CKA(mᵢ, gᵢ)), with maps m of the network f and g of a guide that sees the same samples.

    A guide that is trained gives what it knows and what its architecture favours, one that is not the latter alone
    (Subramaniam et al., Training the Untrainable, 2024). It is frozen, in evaluation mode, and no part of the task: it
    is in no checkpoint, so that a run which goes on makes it again, of its file of weights or of its seed, and neither
    the optimiser nor an export knows of it. λ of 0 only watches: the network trains as without.

    CKA compares how alike the samples of a batch are to each other in the two maps, so it is one of the batch, and
    small batches are biased towards 1: of two samples it is 1 whatever the maps. Several processes gather their maps,
    with their gradients, so that it is of the whole batch, however many share it.

    A backbone behind a front end has a guide that sees what the front end makes.

    Args:
        guide: Any backbone, called with ``(0, in_channels)``; its ``weights`` name a checkpoint, if it is trained.
        at: Where the maps of the network are, as plugs name places, behind what is plugged there; None is its stages.
        guide_at: Those of the guide. Of n places and m of the guide, the i-th goes with the ⌈i m / n⌉-th.
        weight: λ.
        seed: What the guide's weights are drawn from, if there is no file: the same in every run and process.

    Raises:
        ValueError: If λ is negative.
    """

    paper: ClassVar[str] = "Subramaniam et al., Training the Untrainable, arXiv 2024"
    slot: ClassVar[str] = "objective"
    adds: ClassVar[bool] = True

    def __init__(
        self,
        guide: Callable[[int, int], Backbone],
        at: str | list[str] | None = None,
        guide_at: str | list[str] | None = None,
        weight: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"objective: Guidance: weight={weight} must not be negative")
        self.make, self.at, self.guide_at, self.weight, self.seed = guide, at, guide_at, weight, seed
        self.in_channels = 0
        self.paths: list[str] = []
        self._held: list[Backbone] = []  # a list's modules are nobody's children
        self._guide_paths: list[str] = []

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Find the maps, and make the guide, unless a checkpoint is about to be read: its file may be gone by then.

        Args:
            task: Holds the network.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If a place is none, or gives nothing for each sample, of which ``at`` of both must not be; or
                the guide can't see such samples.
        """
        network, x = task.network, torch.zeros(1, *input_shape)
        with undisturbed(network):
            self.paths = _places(network, self.at, "at")
            with watching(network, self.paths) as seen:
                network(x)
            _refuse_others(self.paths, seen, "at")
            x = network.front_end(x) if isinstance(network, FrontEnded) else x
        self.in_channels = x.shape[1]
        if not following():
            self._look(self.guide(x.device), x)

    def guide(self, device: torch.device) -> Backbone:
        """The guide, made at the first call.

        Raises:
            ValueError: If its file of weights is none of its own, or a place is none.
        """
        if not self._held:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(self.seed)
                made = self.make(0, self.in_channels)
            self._held.append(made.eval().requires_grad_(False).to(device))
            self._guide_paths = _places(made, self.guide_at, "guide_at")
        return self._held[0]

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The loss of ``input`` ``(B, C, *S)`` that the task has by itself, and the CKA of each pair."""
        with watching(task.network, self.paths) as seen:
            loss, logged, x = _own(task, batch)
        with torch.no_grad():
            guide = self.guide(x.device)
            with watching(guide, self._guide_paths) as shown:
                guide(x)
        count, others = len(self.paths), len(self._guide_paths)
        for number, path in enumerate(self.paths, 1):
            (own,), (other,) = seen[path], shown[self._guide_paths[-(-number * others // count) - 1]]
            logged[f"cka{number}"] = alike = cka(self.whole_batch(task, own), self.whole_batch(task, other))
            loss = loss + self.weight * (1 - alike)
        return loss, logged

    def whole_batch(self, task: Any, x: Tensor) -> Tensor:
        """One row a sample ``(B, D)`` of all processes' ``x``, with the gradient of each."""
        rows = x.flatten(1)
        if not (distributed.is_available() and distributed.is_initialized()):
            return rows
        gathered: Tensor = task.all_gather(rows, sync_grads=rows.requires_grad)
        return gathered.reshape(-1, rows.shape[1])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Guidance:
        """Move the guide along with the task."""
        for guide in self._held:
            guide._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def _look(self, guide: Backbone, x: Tensor) -> None:
        """See that the guide takes a sample and gives maps of it."""
        with undisturbed(guide), watching(guide, self._guide_paths) as shown:
            try:
                guide(x)
            except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
                said = next(iter(str(error).splitlines()), type(error).__name__)
                kind = type(guide).__name__
                raise ValueError(
                    f"objective: the guide {kind} can't see samples {tuple(x.shape[1:])}: {said}"
                ) from error
        _refuse_others(self._guide_paths, shown, "guide_at")


def cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear centred kernel alignment of two representations of the same samples, from 0 to 1.

    Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019: with the columns of x and y
    centred, ‖yᵀx‖² / (‖xᵀx‖ ‖yᵀy‖) in Frobenius norms. Orthogonal maps and factors of either change nothing. Where all
    samples look the same in one, as a single one does, it is 0, with no gradient. Computed in float32 at least.

    Args:
        x: ``(B, D)``.
        y: ``(B, D')``.
    """
    with torch.autocast(x.device.type, enabled=False):
        first, second = (_kernel(each) for each in (x, y))
        return (first * second.to(first)).sum()


def _kernel(x: Tensor) -> Tensor:
    """Products ``(B, B)`` of all centred rows, of norm 1; the rows are made so first, so that nothing overflows."""
    x = x if x.dtype == torch.float64 else x.float()
    x = x - x.mean(0)
    x = _unit(x / x.detach().abs().max().clamp_min(torch.finfo(x.dtype).tiny))
    return _unit(x @ x.T)


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.flatten(), dim=0).view_as(x)


def _own(task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged, Tensor]:
    """The task's own loss of a batch, what it logs, and what the backbone saw ``(B, C, *S)``."""
    network, made = task.network, list[Tensor]()
    front = network.front_end if isinstance(network, FrontEnded) else nn.Identity()
    handle = front.register_forward_hook(lambda _, __, output: made.append(output))
    try:
        if isinstance(task, Labelling):
            x, target = task.mixed(batch)
            loss, logged = task.training_loss(x, target), Logged()
        else:
            x = batch["input"]
            loss, logged = task.default_objective().loss(task, batch)
    finally:
        handle.remove()
    return loss, dict(logged), made[0].detach() if made else x


def _places(network: nn.Module, at: str | list[str] | None, option: str) -> list[str]:
    """Paths of places that patterns name, or of the stages.

    Raises:
        ValueError: If a pattern names none, or there are no stages.
    """
    patterns = [at] if isinstance(at, str) else at or list(stage_paths(network))
    if not patterns:
        raise ValueError(f"objective: {type(network).__name__} has no stages: say {option}")
    return [place.path for pattern in patterns for place in named_places(network, pattern)]


def _refuse_others(paths: list[str], seen: dict[str, list[Any]], option: str) -> None:
    """Refuse places that do not give one tensor with a row for the sample."""
    for path in paths:
        found = seen.get(path, [])
        if len(found) != 1 or not isinstance(found[0], Tensor) or len(found[0]) != 1 or found[0].dim() < 2:
            raise ValueError(f"objective: Guidance sees nothing of each sample at {path}: say another {option}")
