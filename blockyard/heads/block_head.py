"""The spectral nonlocal paper's segmentation head, for any block."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

import blockyard.backbones.adapters.mmseg_import  # noqa: F401  before mmseg
from blockyard.blocks import Block, list_blocks
from blockyard.mistakes import nearest
from blockyard.plugging import BlockFactory, make_block

# isort: split
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS


@MODELS.register_module()
class BlockHead(FCNHead):
    """3×3 convolution, block, 3×3 convolution, concatenation with the input, 3×3 convolution, classifier.

    Zhu et al., Unifying Nonlocal Blocks for Neural Networks, ICCV 2021, with SpectralNonlocal; Huang et al., CCNet,
    ICCV 2019, put their block there before. With a block that is the identity it is mmsegmentation's FCNHead. The
    block's initial values come from a random stream of their own, so that the rest of a network does not depend on
    which block it has.

    Args:
        block: Class name of a block, or a mapping with ``type`` (or ``class_path`` and ``init_args``) and options.
        **kwargs: As FCNHead's and BaseDecodeHead's: ``in_channels``, ``channels``, ``num_classes``…

    Raises:
        ValueError: If there is no such block or option, or the block refuses the channels.
    """

    def __init__(self, block: str | dict[str, Any], **kwargs: Any) -> None:
        if kwargs.setdefault("num_convs", 2) != 2:
            raise ValueError(f"BlockHead has two convolutions around its block, not num_convs={kwargs['num_convs']}")
        super().__init__(**kwargs)
        shape = (self.channels, 1, 1)  # of what may depend on the size, block_factory refuses the block
        self.block = make_block(block_factory(block), shape, f"{torch.initial_seed()} {type(self).__name__}")

    def _forward_feature(self, inputs: list[Tensor]) -> Tensor:
        """Map the backbone's maps to the features that are classified, ``(B, channels, H, W)``."""
        x = self._transform_inputs(inputs)
        y = self.convs[1](self.block(self.convs[0](x)))
        return self.conv_cat(torch.cat([x, y], 1)) if self.concat_input else y


def block_factory(config: str | Mapping[str, Any]) -> BlockFactory:
    """What makes the block that a config names. Nothing is imported: the class must exist already.

    Args:
        config: Class name, or mapping with ``type`` and options, or with ``class_path`` and ``init_args``.

    Raises:
        ValueError: If there is no such block or option.
    """
    options: dict[str, Any] = {"type": config} if isinstance(config, str) else dict(config)
    if "class_path" in options:
        options = {"type": options["class_path"], **(options.get("init_args") or {})}
    name = options.pop("type", None)
    blocks: dict[str, type[Block]] = {cls.__name__: cls for cls in list_blocks()}
    cls = {f"{cls.__module__}.{cls.__name__}": cls for cls in blocks.values()}.get(str(name)) or blocks.get(str(name))
    if cls is None and str(name).startswith("blockyard.blocks."):
        cls = blocks.get(str(name).rsplit(".", 1)[-1])
    if cls is None:
        raise ValueError(f"there is no block {name!r}; {nearest(str(name), blocks)}")
    parameters = set(inspect.signature(cls).parameters)
    if {"size", "host"} & parameters:
        raise ValueError(f"{cls.__name__} depends on where it is plugged; a head cannot hold it")
    allowed = parameters - {"channels", "spatial_dims"}
    for option in options:
        if option not in allowed:
            raise ValueError(f"{cls.__name__} has no option {option!r}; {nearest(option, allowed)}")
    return partial(cls, **options)
