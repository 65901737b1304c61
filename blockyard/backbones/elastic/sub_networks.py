"""Networks within an ElasticMobileNet: with weights of their own, or with those of the whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from blockyard.backbones.base import Backbone
from blockyard.backbones.elastic.choices import Choices
from blockyard.backbones.inputs.front_ended import FrontEnded
from blockyard.backbones.skeletons.elastic_mobilenet import ElasticMobileNet
from blockyard.backbones.skeletons.skipblock_net import Gate, Unit
from blockyard.plugging import Gated, Plugged, Replaced, Wrapped

AXES = {"expand.": "c", "depthwise.": "c", "gate.squeeze.": "sc", "gate.excite.": "cs", "project.0.": " c"}
"""Of a unit's tensors, which axes are of its channels inside (c), and which of those between the gate's layers (s)."""


class UnitSharing(nn.Module):
    """Which of its channels a unit keeps first, and what its kernel becomes when it shrinks.

    A kernel ``(C, 1, *k)`` shrinks step by step: to its centre, and that through a matrix that all channels share, the
    identity at first.

    Args:
        unit: Of the whole network; left as it is.
        kernels: The taps along each axis that it may shrink to through a matrix.
    """

    channels: Tensor
    squeezed: Tensor

    def __init__(self, unit: Unit, kernels: Sequence[int] = ()) -> None:
        super().__init__()
        kernel = unit.depthwise[0].get_parameter("weight")
        squeezed = unit.gate.squeeze.out_features if isinstance(unit.gate, Gate) else 0
        self.register_buffer("channels", torch.arange(unit.hidden))
        self.register_buffer("squeezed", torch.arange(squeezed))
        sizes = {str(taps): taps ** (kernel.dim() - 2) for taps in kernels}
        self.transforms = nn.ParameterDict(
            {taps: nn.Parameter(torch.eye(size, dtype=kernel.dtype)) for taps, size in sizes.items()}
        )

    @torch.no_grad()
    def sort(self, unit: Unit) -> None:
        """Keep those channels first whose weights ``(C_out, C, *k)`` in the layer behind them are largest, by L1."""
        orders = {unit.project[0]: self.channels}
        if isinstance(unit.gate, Gate):
            orders[unit.gate.excite] = self.squeezed
        for layer, order in orders.items():
            sums = layer.get_parameter("weight").abs().transpose(0, 1).flatten(1).sum(1)
            order.copy_(sums.argsort(descending=True, stable=True))

    def lend(self, name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
        """What a smaller unit has of a tensor, with its gradient; channels in the order that they have in the whole.

        Args:
            name: Of the tensor in the unit.
            tensor: The whole's, such as ``(C_out, C_in, *k)``.
            shape: The smaller unit's.
        """
        axes = next((axes for part, axes in AXES.items() if name.startswith(part)), "")
        for axis, (letter, size) in enumerate(zip(axes, shape, strict=False)):
            order = self.squeezed if letter == "s" else self.channels
            if size < tensor.shape[axis]:
                tensor = tensor.index_select(axis, order[:size].sort().values)
        return self.shrunk(tensor, shape[-1]) if name == "depthwise.0.weight" else tensor

    def shrunk(self, kernel: Tensor, taps: int) -> Tensor:
        """A kernel ``(C, 1, *k)`` with so many taps along each axis."""
        for size in sorted(map(int, self.transforms), reverse=True):
            if taps <= size < kernel.shape[-1]:
                centre = _centre(kernel, size)
                kernel = (centre.flatten(2) @ self.transforms[str(size)].T).view_as(centre)
        return _centre(kernel, taps)


class Sharing(nn.Module):
    """How the networks within a network have their weights of it.

    Args:
        network: The whole; left as it is.
        kernels: For each of its units, the taps that it may shrink to through a matrix; None shrinks all to their
            centres.
    """

    def __init__(self, network: ElasticMobileNet, kernels: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        units = list(network.units())
        taps = kernels or [()] * len(units)
        self.units = nn.ModuleDict(
            {path.replace(".", "_"): UnitSharing(unit, each) for (path, unit), each in zip(units, taps, strict=True)}
        )

    def sort(self, network: ElasticMobileNet) -> None:
        """Keep the most important channels of all units first."""
        for path, unit in network.units():
            cast(UnitSharing, self.units[path.replace(".", "_")]).sort(unit)

    def lend(self, name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
        """What a network within has of a tensor, such as ``(C_out, C_in, *k)``, by its name and shape there."""
        if not name.startswith("layer"):
            return tensor
        layer, number, inside = name.split(".", 2)
        return cast(UnitSharing, self.units[f"{layer}_{number}"]).lend(inside, tensor, shape)


def elastic_part(network: nn.Module) -> ElasticMobileNet:
    """The ElasticMobileNet that a network is, or has behind its front end.

    Raises:
        ValueError: If it is another one, or holds blocks.
    """
    part = network.backbone if isinstance(network, FrontEnded) else network
    if not isinstance(part, ElasticMobileNet):
        raise ValueError(f"{type(part).__name__} has no networks within: take --model.backbone ElasticMobileNet")
    for path, module in part.named_modules():
        if isinstance(module, Gated | Plugged | Replaced | Wrapped):
            raise ValueError(f"the block at {path} is in no network within an ElasticMobileNet: leave it away")
    return part


@torch.no_grad()
def sub_network(network: Backbone, choices: Choices, sharing: Sharing | None = None) -> Backbone:
    """A network of its own that lies within another, with copies of its weights and statistics.

    The running statistics of its norms are those of the whole, which do not hold in it:
    :func:`blockyard.compression.statistics.recalibrate` takes them anew.

    Args:
        network: An ElasticMobileNet, also behind a front end; left as it was.
        choices: Which network.
        sharing: What :class:`~blockyard.objectives.ProgressiveShrinking` learned; None keeps the first channels, and
            the centres of kernels.

    Raises:
        ValueError: If the network is another one, or too small.
    """
    whole = elastic_part(network)
    sharing = Sharing(whole) if sharing is None else sharing
    with torch.random.fork_rng(devices=[]):
        part = whole.like(**choices.options())
    like = next(whole.parameters())
    part.to(like.device, like.dtype)
    own = whole.state_dict()
    lent = {name: sharing.lend(name, own[name], tensor.shape) for name, tensor in part.state_dict().items()}
    part.load_state_dict(lent)
    part.train(whole.training)
    if not isinstance(network, FrontEnded):
        return part
    behind = copy.deepcopy(network)
    behind.backbone, behind.stages = part, part.stages
    return behind


class Borrower(nn.Module):
    """A network within another without any weights: these are lent to it each time that it runs.

    Args:
        whole: The network.
        choices: Which network within.
    """

    def __init__(self, whole: ElasticMobileNet, choices: Choices) -> None:
        super().__init__()
        with torch.device("meta"):
            self.part = whole.like(**choices.options())
        if any(isinstance(module, nn.SyncBatchNorm) for module in whole.modules()):
            self.part = nn.SyncBatchNorm.convert_sync_batchnorm(self.part)
        for path, module in self.part.named_modules():
            module.training = whole.get_submodule(path).training
            if isinstance(module, _BatchNorm) and module.training:
                module.track_running_stats = False  # of a batch; the whole's own are not moved

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, and the logits ``(B, K)``, of ``(B, C, *S)``; to be called by :meth:`borrow`."""
        return self.part.map_and_logits(x)

    def borrow(self, whole: ElasticMobileNet, sharing: Sharing, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last map, and the logits ``(B, K)``, of ``(B, C, *S)``, with gradients in the whole network."""
        own = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
        needed = {**dict(self.part.named_parameters()), **dict(self.part.named_buffers())}
        lent = {f"part.{name}": sharing.lend(name, own[name], tensor.shape) for name, tensor in needed.items()}
        found: tuple[Tensor, Tensor] = functional_call(self, lent, (x,), tie_weights=False)
        return found


def _centre(kernel: Tensor, taps: int) -> Tensor:
    """The middle of a kernel ``(C, 1, *k)``, ``(C, 1, *taps)``."""
    margin = (kernel.shape[-1] - taps) // 2
    middle: list[slice] = [slice(margin, margin + taps)] * (kernel.dim() - 2)
    return kernel[(slice(None), slice(None), *middle)]
