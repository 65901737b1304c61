"""The U-Net of a diffusion model as a frozen backbone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.mistakes import nearest

STEPS, BETAS = 1000, (1e-4, 0.02)
"""Of the noise: Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020."""
FILES = "config.json", "diffusion_pytorch_model.safetensors"


class DiffusionUNet(Backbone):
    """``UNet2DModel`` of diffusers, whose maps are features: Mukhopadhyay et al., arXiv 2023, probe such.

    A picture x ``(C, H, W)`` is seen as √ᾱ_t x + √(1 - ᾱ_t) ε at noise level t, ε the same for every picture, so
    that features are a function of the picture alone; 0 is the picture itself. Stages are the down blocks, the
    middle, and the up blocks, as far as ``block``, whose map is the last.

    The U-Net is frozen: ``fit`` trains what stands behind it. The objective ``Denoising`` trains it. Nothing is ever
    downloaded, and nothing in a folder is executed: the configuration is JSON, the weights are safetensors.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the pictures.
        folder: Where ``save_pretrained`` of diffusers has put a U-Net. Such networks mostly want pictures from -1 to 1,
            which is ``--data.mean`` and ``--data.std`` of 0.5; None makes one, random until it is trained.
        block: ``down1``, ``down2``…, ``mid``, ``up1``, ``up2``…
        noise_level: t, from 0 to 1000.
        widths: Channels of each level, of a network that is made.
        units: Residual units of each level, of a network that is made.
        weights: Weights from a file: a checkpoint of a training with this network in it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If diffusers is not installed, the folder holds no such network or one that wants more than a
            picture, there is no such block or level, or the weights are not the network's.
    """

    rank = 2
    first_convolutions = ("net.conv_in",)
    signal: Tensor

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        folder: str | Path | None = None,
        block: str = "mid",
        noise_level: int = 0,
        widths: Sequence[int] = (32, 64, 64),
        units: int = 1,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if not 0 <= noise_level <= STEPS:
            raise ValueError(f"DiffusionUNet: noise_level must be from 0 to {STEPS}, got {noise_level}")
        config = _made(in_channels, widths, units) if folder is None else _read(Path(folder), in_channels)
        self.noise_level = noise_level
        self.net: Any = _unet(config)
        if folder is not None:
            _load(self.net, Path(folder))
        self.net.requires_grad_(False)
        every = _stages(config)
        if block not in every:
            raise ValueError(f"DiffusionUNet: no block {block!r}; {nearest(block, list(every))}")
        self.stages = tuple(every.values())[: list(every).index(block) + 1]
        kept = torch.cat([torch.ones(1), (1 - torch.linspace(*BETAS, STEPS, dtype=torch.float64)).cumprod(0)])
        self.register_buffer("signal", kept.float(), persistent=False)
        self.make_head(self.stages[-1].channels)
        self.load_weights(weights, strict)

    def noisy(self, x: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Pictures ``(B, C, H, W)`` at noise levels ``(B,)``, by noise of their shape."""
        kept = self.signal[level][:, None, None, None].to(x.dtype)
        return kept.sqrt() * x + (1 - kept).sqrt() * noise

    def predicted_noise(self, x: Tensor, level: Tensor) -> Tensor:
        """What the U-Net says is noise in ``(B, C, H, W)`` at levels ``(B,)``, from 1 on; the same shape."""
        found: Tensor = self.net(x, level - 1, return_dict=False)[0]
        return found

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages of ``(B, C, H, W)``, ``(B, stage.channels, H / stage.stride, W / stage.stride)`` each.

        Raises:
            ValueError: If a side can't be halved as often as the U-Net does.
        """
        net, factor = self.net, max(stage.stride for stage in self.stages)
        if any(side % factor for side in x.shape[2:]):
            raise ValueError(f"DiffusionUNet: sides must be multiples of {factor}, got {tuple(x.shape[2:])}")
        if self.noise_level:
            noise = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(0)).to(x)
            x = self.noisy(x, noise[None], torch.full((len(x),), self.noise_level, device=x.device))
        step = torch.full((len(x),), max(self.noise_level - 1, 0), device=x.device)
        time = net.time_embedding(net.time_proj(step).to(x.dtype))
        x = net.conv_in(x)
        maps = list[Tensor]()
        kept: tuple[Tensor, ...] = (x,)
        for block in net.down_blocks:
            x, made = block(hidden_states=x, temb=time)
            kept += made
            maps.append(made[len(block.resnets) - 1])
        x = net.mid_block(x, time)
        maps.append(x)
        for block in list(net.up_blocks)[: max(0, len(self.stages) - len(maps))]:
            x = block(x, kept[-len(block.resnets) :], time)
            kept = kept[: -len(block.resnets)]
            maps.append(x)
        return maps[: len(self.stages)]


def _made(channels: int, widths: Sequence[int], units: int) -> dict[str, Any]:
    """The configuration of a small U-Net, with attention in the middle alone."""
    if not widths or min(*widths, units, 8) < 1:
        raise ValueError(f"DiffusionUNet: widths and units must be positive, got {list(widths)} and {units}")
    return {
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": tuple(widths),
        "layers_per_block": units,
        "down_block_types": ("DownBlock2D",) * len(widths),
        "up_block_types": ("UpBlock2D",) * len(widths),
        "norm_num_groups": math.gcd(8, *widths),
        "attention_head_dim": math.gcd(8, *widths),
    }


def _read(folder: Path, channels: int) -> dict[str, Any]:
    """The configuration of a folder's U-Net."""
    for name in FILES:
        if not (folder / name).is_file():
            raise ValueError(f"DiffusionUNet: {folder} holds no {name}: a folder that save_pretrained wrote is needed")
    try:
        said = json.loads((folder / FILES[0]).read_text())
        kind = said.get("_class_name")
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"DiffusionUNet: {folder / FILES[0]} is no configuration: {error}") from None
    if kind != "UNet2DModel":
        raise ValueError(f"DiffusionUNet: {folder} holds a {kind}; a UNet2DModel is needed, which sees a picture alone")
    if said.get("in_channels") != channels:
        raise ValueError(f"DiffusionUNet: {folder} is for {said.get('in_channels')} channels, the data have {channels}")
    types = [*said.get("down_block_types", []), *said.get("up_block_types", [])]
    strange = [name for name in types if "Skip" in name]
    strange += [name for name in ("class_embed_type", "num_class_embeds", "center_input_sample") if said.get(name)]
    strange += ["time_embedding_type"] * (said.get("time_embedding_type", "positional") != "positional")
    strange += ["mid_block_type"] * (said.get("mid_block_type", "UNetMidBlock2D") is None)
    if strange:
        raise ValueError(f"DiffusionUNet: {folder} has {strange[0]}, which is not read here")
    return {name: value for name, value in said.items() if not name.startswith("_")}


def _unet(config: dict[str, Any]) -> Any:
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise ValueError("DiffusionUNet needs diffusers: pip install 'blockyard[diffusers]'") from error
    try:
        return UNet2DModel(**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"DiffusionUNet: diffusers takes no such network: {str(error).splitlines()[0]}") from error


def _load(network: nn.Module, folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(folder / FILES[1]))
    except (OSError, SafetensorError, RuntimeError) as error:
        said = str(error).splitlines()[-1].strip()
        raise ValueError(f"DiffusionUNet: {folder / FILES[1]} are no weights of this network: {said}") from None


def _stages(config: dict[str, Any]) -> dict[str, Stage]:
    """Every block by its name, in the order in which a picture passes them."""
    widths, units = config["block_out_channels"], config.get("layers_per_block", 2)
    last = len(widths) - 1
    found = {}
    for i, width in enumerate(widths):
        part = "attentions" if "Attn" in config["down_block_types"][i] else "resnets"
        found[f"down{i + 1}"] = Stage(f"net.down_blocks.{i}.{part}.{units - 1}", width, 2**i)
    found["mid"] = Stage("net.mid_block", widths[-1], 2**last)
    for i, width in enumerate(reversed(widths)):
        found[f"up{i + 1}"] = Stage(f"net.up_blocks.{i}", width, 2 ** max(last - i - 1, 0))
    return found
