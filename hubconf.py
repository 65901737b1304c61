"""Entry points of ``torch.hub``: ``torch.hub.load(repository, "plugged", network="resnet50", …)``."""

from __future__ import annotations

from functools import partial as _partial
from typing import Any as _Any

import timm as _timm
from torch import nn as _nn

from blockyard import blocks as _blocks
from blockyard import mistakes as _mistakes
from blockyard import plugging as _plugging

dependencies = ["torch", "timm"]


def plugged(
    network: str = "resnet50",
    block: str = "SpectralNonlocal",
    at: str | list[str] = "layer3.4",
    pretrained: bool = False,
    *,
    num_classes: int | None = None,
    mode: _plugging.Mode = "after",
    gate: bool = False,
    seed: int | None = None,
    **options: _Any,
) -> _nn.Module:
    """A network of timm with a block plugged in; with one that starts as the identity, its outputs are as before.

    Args:
        network: Name in timm.
        block: Name of the block, see :func:`blocks`.
        at: Where it goes: ``"layer3.4"``, ``"stage3.-2"``, ``"layer*.*.bn3"``, or several.
        pretrained: Download timm's weights.
        num_classes: Classes of the classifier; None takes the network's own.
        mode: Whether the block goes ``"after"`` the places, is to ``"replace"`` them, or, a wrapper, goes ``"around"``.
        gate: Whether any block is made to start as the identity.
        seed: Seed of the block's initial values; None takes torch's.
        options: The block's own, such as ``order=2``.

    Raises:
        ValueError: If there is no such network or block, or the block can't go there.
    """
    if not _timm.is_model(network):
        raise ValueError(f"timm has no network {network}; {_mistakes.nearest(network, _timm.list_models())}")
    kinds = {kind.__name__: kind for kind in (*_blocks.list_blocks(), *_blocks.list_wrappers())}
    if block not in kinds:
        raise ValueError(f"no block {block}; {_mistakes.nearest(block, kinds)}")
    stock = _timm.create_model(network, pretrained=pretrained, num_classes=num_classes)
    return _plugging.plug(stock, _partial(kinds[block], **options), at, mode=mode, gate=gate, seed=seed, quiet=True)


def blocks(glob: str = "*") -> list[str]:
    """Names of the blocks that match a glob."""
    return [kind.__name__ for kind in (*_blocks.list_blocks(glob), *_blocks.list_wrappers(glob))]
