"""Gradients passed through a bounded function that lifts the small ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import SGD, Optimizer

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "atan": torch.atan,
    "tanh": torch.tanh,
    "log": lambda x: x.sign() * x.abs().log1p(),
}
"""Odd functions with slope 1 at zero."""


class GradientActivation(Callback):
    """The gradient activation function (GAF): g becomes α f(β g), element by element.

    Small gradients grow by α β, large ones stay below α π / 2 (``atan``) or α (``tanh``); with α β = 1, small ones stay
    as they are. Liu et al., Activated Gradients for Deep Neural Networks, IEEE TNNLS 2021.

    The released optimisers differ in what they activate, so it is an option. At ``gradient`` it is the gradient of the
    loss, before weight decay and momentum, with any optimiser. At ``update`` it is the whole direction of SGD, after
    weight decay and momentum, as in the paper's runs on ImageNet; the momentum itself stays linear.

    What is activated is the gradient of the optimiser's step: accumulated, averaged over the processes and freed of the
    scale of mixed precision. ``gradient_clip_val`` clips the activated gradient at ``gradient``, and the plain one,
    before it enters the momentum, at ``update``. There is no state, so nothing to resume.

    Args:
        alpha: α; the paper's runs use 0.1 with β = 20, or 0.2 with 10.
        beta: β.
        function: f; ``log`` is sign(x) ln(1 + abs(x)), which has no bound.
        stage: What is activated.

    Raises:
        ValueError: If α or β is not positive, or function or stage is unknown; when training starts, if the optimiser
            scales gradients back itself in mixed precision, or at ``update`` is not SGD without Nesterov's momentum.
    """

    only_watches: ClassVar[bool] = False

    paper: ClassVar[str] = "Liu et al., Activated Gradients for Deep Neural Networks, TNNLS 2021"
    slot: ClassVar[str] = "gradient"

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 20.0,
        function: Literal["atan", "tanh", "log"] = "atan",
        stage: Literal["gradient", "update"] = "gradient",
    ) -> None:
        if alpha <= 0 or beta <= 0:
            raise ValueError(f"GradientActivation: alpha and beta must be positive, got alpha={alpha}, beta={beta}")
        if function not in FUNCTIONS or stage not in ("gradient", "update"):
            raise ValueError(
                "GradientActivation: function must be atan, tanh or log and stage gradient or update, got "
                f"{function} and {stage}"
            )
        self.alpha, self.beta = alpha, beta
        self.function, self.stage = function, stage
        self._before: list[Tensor] = []
        self._hooks: list[Any] = []

    def activate(self, gradient: Tensor) -> Tensor:
        """α f(β g) of gradients g of any shape."""
        return self.alpha * FUNCTIONS[self.function](self.beta * gradient)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what can't be done; at ``update``, stand behind the optimisers."""
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        for optimizer in trainer.optimizers:
            kind = type(optimizer).__name__
            if scaled and getattr(optimizer, "_step_supports_amp_scaling", False):
                raise ValueError(f"GradientActivation: a fused {kind} hides its gradients' scale: set fused to false")
            if self.stage == "update":
                if not isinstance(optimizer, SGD) or any(group["nesterov"] for group in optimizer.param_groups):
                    raise ValueError(f"GradientActivation: stage=update takes SGD without nesterov, not {kind}")
                self._hooks.append(optimizer.register_step_post_hook(self._redo))

    @torch.no_grad()
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Activate the gradients, or keep the weights for the step that is done again."""
        if self.stage == "update":
            self._before = [parameter.clone() for _, parameter in _trained(optimizer)]
            return
        for _, parameter in _trained(optimizer):
            assert parameter.grad is not None
            parameter.grad.copy_(self.activate(parameter.grad))

    @torch.no_grad()
    def _redo(self, optimizer: Optimizer, *_: Any) -> None:
        """Step from the weights before along the activated direction."""
        for (group, parameter), before in zip(_trained(optimizer), self._before, strict=True):
            direction = _direction(optimizer, group, parameter, before)
            parameter.copy_(before - group["lr"] * self.activate(direction))
        self._before = []

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the optimisers as they were."""
        while self._hooks:
            self._hooks.pop().remove()


def _trained(optimizer: Optimizer) -> list[tuple[dict[str, Any], Tensor]]:
    """The parameters that have a gradient, each with its group."""
    return [(group, p) for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def _direction(optimizer: Optimizer, group: dict[str, Any], parameter: Tensor, before: Tensor) -> Tensor:
    """Along which SGD has just stepped: its momentum, or the gradient with weight decay."""
    if group["momentum"]:
        return optimizer.state[parameter]["momentum_buffer"]
    assert parameter.grad is not None
    gradient = -parameter.grad if group["maximize"] else parameter.grad
    return gradient + group["weight_decay"] * before
