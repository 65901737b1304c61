"""The tangent kernel of a network as it is: how far a step for one sample moves the outputs of another."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from blockyard.plugging import undisturbed


def tangent_kernel(network: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """Inner products ⟨∂f_k(x) / ∂θ, ∂f_k(x') / ∂θ⟩ over all parameters θ that learn, in evaluation and float64.

    Jacot, Gabriel, Hongler: Neural Tangent Kernel: Convergence and Generalization in Neural Networks, NeurIPS 2018.
    One output and one sample at a time, so that what is kept are the gradients of one output, n times θ.

    Args:
        network: From ``(1, C, *S)`` to ``(1, K)``; left as it is, random streams included.
        inputs: Samples ``(1, C, *S)``, n of them, each of its own size if the network takes that.

    Returns:
        ``(K, n, n)``, a kernel an output.

    Raises:
        ValueError: If no parameter learns.
        FloatingPointError: If a gradient is not finite.
    """
    network = copy.deepcopy(network).double()
    learning = {name: one.detach() for name, one in network.named_parameters() if one.requires_grad}
    if not learning:
        raise ValueError("no parameter of the network learns: there is no tangent kernel")

    def output(parameters: dict[str, Tensor], x: Tensor, k: int) -> Tensor:
        found: Tensor = functional_call(network, parameters, (x,))
        return found[0, k]

    with undisturbed(network):
        outputs, kernels = network(inputs[0].double()).shape[1], list[Tensor]()
        for k in range(outputs):
            gradients = [grad(output)(learning, x.double(), k) for x in inputs]
            rows = torch.stack([torch.cat([part.flatten() for part in one.values()]) for one in gradients])
            kernels.append(rows @ rows.T)
    kernel = torch.stack(kernels)
    if not kernel.isfinite().all():
        raise FloatingPointError("a gradient of the network is not a number: its weights have diverged")
    return kernel
