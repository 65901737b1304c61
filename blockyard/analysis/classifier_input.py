"""The features of a network that classifies: what its last, linear layer sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blockyard.plugging import undisturbed


class ClassifierInput(nn.Module):
    """The vector of each sample in front of the classifier of a network, which is left as it is.

    The classifier is the last module with weights that runs, a linear map onto the classes. Where it runs at many
    positions or frames, or a sample comes in several crops, the vectors of the sample are averaged.

    Args:
        network: From ``(B, C, *S)`` to logits ``(B, K)``.
        num_classes: Classes K.
        example: Input ``(1, C, *S)`` of a size that the network takes.

    Raises:
        ValueError: If what runs last is no linear map onto K classes.
    """

    def __init__(self, network: nn.Module, num_classes: int, example: Tensor) -> None:
        super().__init__()
        ran = _with_weights(network, example)
        if not ran or _outputs(ran[-1]) != num_classes:
            kind = type(ran[-1]).__name__ if ran else "nothing that learns"
            raise ValueError(
                f"{type(network).__name__} ends in {kind}, not in a linear map onto the {num_classes} classes: "
                "which of its features to take is not clear"
            )
        self.network = network
        self.classifier = ran[-1]
        self.rank = example.ndim

    def forward(self, x: Tensor) -> Tensor:
        """Vectors ``(B, D)`` of ``(B, C, *S)``, or of crops ``(B, V, C, *S)``."""
        seen: list[Tensor] = []
        handle = self.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.network.forward(x.flatten(0, -self.rank))  # a compiled call would pass by the hook
        finally:
            handle.remove()
        vectors = seen[-1]
        if not isinstance(self.classifier, nn.Linear):
            vectors = vectors.flatten(2).mean(2)
        return vectors.reshape(len(x), -1, vectors.shape[-1]).mean(1)


def _with_weights(network: nn.Module, example: Tensor) -> list[nn.Module]:
    """The modules without parts that have parameters, as they run."""
    ran: list[nn.Module] = []
    leaves = [module for module in network.modules() if not any(True for _ in module.children())]
    hooked = [module for module in leaves if any(True for _ in module.parameters())]
    handles = [module.register_forward_hook(lambda module, *_: ran.append(module)) for module in hooked]
    try:
        with undisturbed(network), torch.no_grad():
            network.forward(example)
    finally:
        for handle in handles:
            handle.remove()
    return ran


def _outputs(module: nn.Module) -> int | None:
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and set(module.kernel_size) == {1}:
        return module.out_channels
    return None
