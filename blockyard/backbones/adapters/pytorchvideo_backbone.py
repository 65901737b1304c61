"""The video networks of pytorchvideo as backbones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.mistakes import nearest

NAMES: tuple[str, ...] = (
    "slow_r50",
    "c2d_r50",
    "i3d_r50",
    "r2plus1d_r50",
    "csn_r101",
    "x3d_xs",
    "x3d_s",
    "x3d_m",
    "x3d_l",
    "slowfast_r50",
    "slowfast_r101",
    "slowfast_16x8_r101_50_50",
    "mvit_base_16x4",
    "mvit_base_32x3",
)
_CLIP_SIZES = {"mvit_base_16x4": (16, 224, 224), "mvit_base_32x3": (32, 224, 224)}
"""Networks whose position embeddings fix the clip's size."""
ALPHA = 4
"""Frames of SlowFast's fast pathway per frame of its slow one."""


class PyTorchVideoBackbone(Backbone):
    """Adapter over a network of pytorchvideo; plugs take the network's own paths, such as ``blocks.3.res_blocks.4``.

    The stock head pools with the kernel of one clip size. Here it averages whatever map there is: the same logits at
    that size, the same parameters, and clips of any length and size. The four stages are the residual ones, at
    strides 4, 8, 16 and 32 in space (in time they differ from family to family); ``stage3`` is the papers' res4.
    SlowFast makes its two pathways out of one clip. SlowFast and MViT have no stages, as what passes there is not one
    map, and their blocks take no plugs (``closed`` says why); MViT takes the one clip size that it was built for.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the clips.
        name: One of ``NAMES``, pytorchvideo's own.
        weights: Weights from a file: ``.safetensors``, pytorchvideo's ``.pyth``, or a checkpoint of a training with
            this network in it. One line says what is left out, such as a classifier of other classes, and what starts
            anew. Nothing is ever downloaded.
        strict: Whether anything else in the file that does not match is a mistake; if not, it is printed.
        clip_size: Frames, height and width that MViT is built for; its own, such as 16×224×224, if None.

    Raises:
        ValueError: If there is no such network, the weights are not the network's, or ``clip_size`` is given to a
            network that takes all sizes.
    """

    rank = 3
    stock_path = "net"

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        name: str = "slow_r50",
        weights: str | Path | None = None,
        strict: bool = True,
        clip_size: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if name not in NAMES:
            raise ValueError(f"PyTorchVideoBackbone: no network {name!r}; {nearest(name, NAMES)}")
        if clip_size is not None and name not in _CLIP_SIZES:
            raise ValueError(f"PyTorchVideoBackbone: {name} takes clips of all sizes; clip_size is for MViT")
        self.name = name
        self._clip_size = clip_size or _CLIP_SIZES.get(name)
        self._two_pathways = name.startswith("slowfast")
        self.net = _create(name, max(num_classes, 1), in_channels, self._clip_size)
        _mend(self.net)
        self.closed = {"blocks": f"{name} {why}"} if (why := self._not_one_map) else {}
        pools = [block.kernel_size for block in self._blocks if isinstance(block, nn.MaxPool3d)]
        self._fewest_frames = max([1, *(kernel[0] for kernel in pools if isinstance(kernel, tuple))])
        residual = [(i, block) for i, block in enumerate(self._blocks) if hasattr(block, "res_blocks")]
        self._indices = [i for i, _ in residual]
        self.stages = tuple(
            Stage(f"blocks.{i}", _channels(block), 4 * 2**position) for position, (i, block) in enumerate(residual)
        )
        self.head_parts = (f"net.blocks.{len(self._blocks) - 1}",) if self.stages else ("net.head",)
        self.first_convolutions = tuple(f"net.{path}" for path in _first_convolutions(self.net))
        self.classifiers = tuple(path for path, _ in self.named_modules() if path.endswith("proj"))[-1:]
        if not num_classes:
            self.trunk()
        self.load_weights(weights, strict)

    @property
    def _not_one_map(self) -> str | None:
        if self._two_pathways:
            return "has two pathways, not one map: slow_r50, i3d_r50 and the like take blocks"
        return "has tokens, not maps: only patch_embed.patch_model takes a block" if self._clip_size else None

    @property
    def _blocks(self) -> nn.ModuleList:
        blocks = self.net.blocks
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """The maps, or the logits ``(B, num_classes)``, of ``(B, in_channels, T, H, W)``.

        Raises:
            ValueError: If the network does not take clips of this size.
        """
        if not self._not_one_map:
            return super().forward(x)
        self._refuse_size(x)
        return self.net(pathways(x) if self._two_pathways else x)

    def last_map(self, x: Tensor) -> Tensor:
        """The map that the head takes, ``(B, C, T', H', W')``.

        Raises:
            ValueError: If what reaches the head is not one map, or the network does not take clips of this size.
        """
        if self._not_one_map:
            raise ValueError(
                f"PyTorchVideoBackbone: {self.name} ends in no single map; slow_r50, i3d_r50 and others do"
            )
        self._refuse_size(x)
        *body, _ = self._blocks
        for block in body:
            x = block(x)
        return x

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` by the network's own head."""
        return self._blocks[-1](last)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, T', H / stage.stride, W / stage.stride)``, plugs included.

        Raises:
            ValueError: If the network has no stages, or does not take clips of this size.
        """
        if not self.stages:
            raise ValueError(f"PyTorchVideoBackbone: there are no stages; {self.closed['blocks']}")
        self._refuse_size(x)
        maps = []
        for block in self._blocks[: self._indices[-1] + 1]:
            x = block(x)
            maps.append(x)
        return [maps[i] for i in self._indices]

    def _refuse_size(self, x: Tensor) -> None:
        """One line instead of torch's, for the few sizes that an architecture does not take."""
        wrong = f"PyTorchVideoBackbone: {self.name} takes "
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ValueError(f"{wrong}clips (B, {self.in_channels}, T, H, W), got {tuple(x.shape)}")
        size = self._clip_size
        if size is not None and tuple(x.shape[2:]) != tuple(size):
            raise ValueError(f"{wrong}clips of {_times(size)} only, got {_times(x.shape[2:])}; set clip_size")
        if x.shape[2] < self._fewest_frames:
            raise ValueError(f"{wrong}at least {self._fewest_frames} frames, got {x.shape[2]}")


def pathways(clip: Tensor) -> list[Tensor]:
    """SlowFast's slow and fast pathways of a clip ``(B, C, T, H, W)``: ⌈T / 4⌉ and T frames.

    The slow frames are spread from the first to the last one, as for the published weights.
    """
    frames = clip.shape[2]
    slow = torch.linspace(0, frames - 1, -(-frames // ALPHA), device=clip.device).long()
    return [clip.index_select(2, slow), clip]


def _create(name: str, num_classes: int, in_channels: int, clip_size: tuple[int, ...] | None) -> nn.Module:
    """The stock network with random weights and a head that gives logits; families name their options differently."""
    from pytorchvideo.models import hub  # which only its own networks need

    build: Callable[..., nn.Module] = getattr(hub, name)
    if clip_size is not None:
        frames, *space = clip_size
        options: dict[str, Any] = {"temporal_size": frames, "spatial_size": tuple(space)}
        return build(head_num_classes=num_classes, input_channels=in_channels, **options)
    if name.startswith("slowfast"):
        return build(model_num_class=num_classes, input_channels=(in_channels, in_channels))
    return build(model_num_class=num_classes, input_channel=in_channels, head_activation=None)


def _mend(net: nn.Module) -> None:
    """Let the head average over whole maps, and the network compile.

    Only heads have average pools of a fixed kernel. Some strides are NumPy integers, which torch.compile takes for
    data.
    """
    for module in list(net.modules()):
        if isinstance(module, nn.Conv3d):
            module.stride = tuple(int(n) for n in module.stride)
        for name, child in module.named_children():
            if isinstance(child, nn.AvgPool3d):
                setattr(module, name, nn.AdaptiveAvgPool3d(1))


def _channels(stage: nn.Module) -> int:
    """Channels of what a residual stage gives: those of its last unit's last convolution."""
    *_, last = (module for module in stage.modules() if isinstance(module, nn.Conv3d))
    return last.out_channels


def _first_convolutions(net: nn.Module) -> list[str]:
    """Names of the convolutions that see the clip: one, or one a pathway."""
    stem = "patch_embed" if hasattr(net, "patch_embed") else "blocks.0"
    paths = f"{stem}.multipathway_blocks"
    stems = [f"{paths}.0", f"{paths}.1"] if hasattr(net.get_submodule(stem), "multipathway_blocks") else [stem]
    convolutions = [name for name, module in net.named_modules() if isinstance(module, nn.Conv3d)]
    return [next(name for name in convolutions if name.startswith(f"{stem}.")) for stem in stems]


def _times(size: Iterable[int]) -> str:
    return "×".join(map(str, size))
