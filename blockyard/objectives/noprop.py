"""Blocks that learn apart to take noise off a label's embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from blockyard.backbones import FrontEnded
from blockyard.backbones.label_denoiser import LabelDenoiser
from blockyard.backbones.label_noise import cosine, divergence, log_linear, noised, ratio
from blockyard.objectives.base import Learner, Logged
from blockyard.objectives.piecewise import Piecewise, Taken
from blockyard.objectives.supervision import Labelling


class NoProp(Piecewise):
    """Σₜ η/2 (SNR(t) - SNR(t-1)) ‖ûₜ(zₜ₋₁, x) - u‖² - log p(y | z_T) + KL(q(z₀ | y) ‖ N(0, 1)), z a noisy u.

    Each block of a :class:`~blockyard.backbones.LabelDenoiser` is given the picture and the label's embedding u with as
    much noise as there is where its step begins, and learns to give u: no block sees what another one gave, so that no
    gradient passes between them (Li et al., NoProp, arXiv 2025); it is taken of each block as soon as that has run, so
    that nothing is kept for the next one. What they share are learned embeddings, and the
    classifier of the last z. In continuous time a sample has one time, and the weight is η/2 SNR'(t). By flow matching
    z lies on the line from noise z₀ to u, the block learns the velocity u - z₀ by its mean squared error, and the
    classifier sees where that leads: ẑ = z + (1 - t) v.

    ``form``, ``steps`` and ``embedding`` are options of the network, which iterates in evaluation. The noise of the
    discrete form falls as a cosine; that of the continuous form is a straight line in the logarithm of SNR and not
    learned.

    Args:
        weight: η, which flow matching does not have.

    Raises:
        ValueError: If the weight is not positive.
    """

    paper: ClassVar[str] = "Li et al., NoProp, arXiv 2025"

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        if weight <= 0:
            raise ValueError(f"objective: NoProp: weight={weight} must be positive")
        self.weight = weight

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Look whether there are labels and blocks.

        Args:
            task: Holds the network.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If this is no classification, or its network is none that takes noise off labels.
        """
        if not isinstance(task, Labelling):
            raise ValueError(f"objective: NoProp takes noise off labels, which {type(task).__name__} has not")
        network, _ = _behind_front_end(task.network, None)
        if not isinstance(network, LabelDenoiser):
            kind = type(network).__name__
            raise ValueError(
                f"objective: NoProp trains LabelDenoiser, got {kind}: --model.backbone LabelDenoiser "
                f"--model.backbone.encoder {kind}"
            )

    def pieces(self, task: Any, batch: dict[str, Any], taken: Taken) -> tuple[Tensor, Logged]:
        """The losses of ``input`` ``(B, C, *S)`` with classes ``target`` ``(B,)``, by noise drawn for each sample."""
        network, x = _behind_front_end(task.network, batch["input"])
        target = batch["target"]

        def clean() -> Tensor:  # anew for each loss: once its gradient is taken, what led to it is gone
            return cast(Tensor, network.embeddings[target])

        if network.form == "flow":
            logged = self._flow(network, x, clean, target, taken)
        elif network.form == "discrete":
            logged = self._discrete(network, x, clean, taken)
            logged |= self._ends(network, clean, target, cosine(network.steps), taken)
        else:
            logged = self._continuous(network, x, clean, taken)
            logged |= self._ends(network, clean, target, log_linear(torch.arange(2).to(clean()))[0], taken)
        return torch.stack(list(logged.values())).sum(), logged

    def _ends(
        self, network: LabelDenoiser, clean: Callable[[], Tensor], target: Tensor, kept: Tensor, taken: Taken
    ) -> Logged:
        """What the classifier makes of the last z, and how far the first is from noise alone."""
        kept = kept.to(clean())
        said = network.fc_of(noised(clean(), kept[-1], torch.randn_like(clean())))
        prior = divergence(clean(), kept[0]).mean()  # a constant, unless embeddings are learned
        label = taken(F.cross_entropy(said, target))
        return {"label_loss": label, "prior_loss": taken(prior) if prior.requires_grad else prior}

    def _discrete(self, network: LabelDenoiser, x: Tensor, clean: Callable[[], Tensor], taken: Taken) -> Logged:
        """The loss of each block, from the noise that its step begins with."""
        kept = cosine(network.steps).to(clean())
        gains = self.weight / 2 * ratio(kept).diff()
        logged = Logged()
        for number, gain in enumerate(gains):
            z = noised(clean(), kept[number], torch.randn_like(clean()))
            found = network.denoised(number, _seen(network, number, x), z)
            logged[f"block{number + 1}_loss"] = taken(gain * _distance(found, clean()))
        return logged

    def _continuous(self, network: LabelDenoiser, x: Tensor, clean: Callable[[], Tensor], taken: Taken) -> Logged:
        """The loss of the one block, at a time of its own for each sample."""
        time = torch.rand_like(clean()[:, 0])
        kept, gain = log_linear(time)
        z = noised(clean(), kept[:, None], torch.randn_like(clean()))
        found = network.denoised(0, _seen(network, 0, x), z, time)
        return {"block1_loss": taken(self.weight / 2 * _distance(found, clean(), gain))}

    def _flow(
        self, network: LabelDenoiser, x: Tensor, clean: Callable[[], Tensor], target: Tensor, taken: Taken
    ) -> Logged:
        """That of the velocity, and of where it leads: one piece, for both go through the block."""
        time, start = torch.rand_like(clean()[:, :1]), torch.randn_like(clean())
        z = time * clean() + (1 - time) * start
        found = network.denoised(0, _seen(network, 0, x), z, time[:, 0])
        error = _distance(found, clean() - start)
        said = F.cross_entropy(network.fc_of(z + (1 - time) * found), target)
        taken(error + said)
        return {"block1_loss": error, "label_loss": said}


def _behind_front_end(network: Any, x: Any) -> tuple[Any, Any]:
    """The network behind a front end, if there is one, and what that makes of samples ``(B, C, *S)``."""
    if not isinstance(network, FrontEnded):
        return network, x
    return network.backbone, x if x is None else network.front_end(x)


def _seen(network: LabelDenoiser, number: int, x: Tensor) -> Tensor:
    return cast(Tensor, cast(Any, network.blocks[number]).seen(x))


def _distance(found: Tensor, wanted: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    return (weight * (found - wanted).square().sum(1)).mean()
