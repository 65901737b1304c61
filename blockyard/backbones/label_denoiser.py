"""A classifier that begins with noise and takes it off, step by step, until a label's embedding is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.label_noise import cosine, log_linear, noised, transition
from blockyard.backbones.preresnet import PreResNet

Form = Literal["discrete", "continuous", "flow"]
STEPS = {"discrete": 10, "continuous": 20, "flow": 20}
"""Steps unless told otherwise."""
FREQUENCIES = 16


class LabelDenoiser(Backbone):
    """Noise z₀ to the label of ``(B, C, *S)``, in steps that each see the picture: logits ``(B, K)`` of z at the end.

    What NoProp trains (Li et al., NoProp, arXiv 2025): a block sees the picture by an encoder of its own, and a noisy
    embedding of the label. ``discrete`` has a block for each step, which gives the classes' probabilities, and so a
    mean embedding û; the next z is drawn around a û + b z. ``continuous`` has one block, which also sees the time, and
    follows the probability flow of the same noise, exactly where û stays. ``flow`` has one that gives a velocity, by
    which Euler's steps go. The encoder of a single block runs once.

    The noise of an evaluation is one draw for all pictures, made with the weights and kept with them: the same picture
    has the same logits always, in a test, a prediction, an export.

    Args:
        num_classes: Number of classes K; there is no trunk without a head.
        in_channels: Channels of the input.
        encoder: Called with ``(0, in_channels)``, once for each block; None takes a PreResNet-8 of 8, 16 and 32
            channels, for pictures.
        form: Of time and steps.
        steps: T; None takes 10 blocks, or 20 steps of one.
        embedding: Whether that of a class is its row of an identity, or learned, orthogonal at first.
        dimension: Numbers of a learned embedding; None takes K.
        hidden: Width of a block's linear layers.

    Raises:
        ValueError: If there are no classes, no steps, no such form or embedding, or a dimension for fixed embeddings.
    """

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        encoder: Callable[[int, int], Backbone] | None = None,
        form: Form = "discrete",
        steps: int | None = None,
        embedding: Literal["one_hot", "learned"] = "one_hot",
        dimension: int | None = None,
        hidden: int = 128,
    ) -> None:
        super().__init__(num_classes, in_channels)
        self.form, self.steps = form, STEPS.get(form, 0) if steps is None else steps
        size = num_classes if dimension is None else dimension
        self._refuse(embedding, dimension, size)
        make = partial(PreResNet, depth=8, width=8, dropout=0.0) if encoder is None else encoder
        out, timed = size if form == "flow" else num_classes, form != "discrete"
        self.blocks = nn.ModuleList(
            Denoiser(make(0, in_channels), size, out, hidden, timed) for _ in range(1 if timed else self.steps)
        )
        own: Any = self.blocks[0].encoder
        self.rank = own.rank
        path = ".".join(filter(None, ("blocks.0.encoder", own.stock_path)))
        self.stages = tuple(Stage(f"{path}.{stage.path}", stage.channels, stage.stride) for stage in own.stages)
        learned = nn.Parameter(nn.init.orthogonal_(torch.empty(num_classes, size)))
        self.register_parameter("learned", learned if embedding == "learned" else None)
        self.register_buffer("one_hot", None if embedding == "learned" else torch.eye(num_classes))
        self.register_buffer("noise", torch.randn(1 if timed else self.steps + 1, size))
        self.fc = nn.Linear(size, num_classes)

    def _refuse(self, embedding: str, dimension: int | None, size: int) -> None:
        said = ""
        if self.num_classes < 1:
            said = "it is a classifier, and no trunk for other heads"
        elif self.form not in STEPS:
            said = f"form must be one of {', '.join(STEPS)}, got {self.form!r}"
        elif embedding not in ("one_hot", "learned"):
            said = f"embedding must be one_hot or learned, got {embedding!r}"
        elif dimension is not None and embedding == "one_hot":
            said = "one_hot embeddings have a number for each class: leave dimension away"
        elif min(self.steps, size) < 1:
            said = f"steps={self.steps} and dimension={size} must be at least 1"
        if said:
            raise ValueError(f"LabelDenoiser: {said}")

    @property
    def embeddings(self) -> Tensor:
        """Those of the classes, ``(K, d)``."""
        learned, one_hot = self._parameters["learned"], self._buffers["one_hot"]
        return cast(Tensor, one_hot if learned is None else learned)

    def denoised(self, number: int, seen: Tensor, z: Tensor, time: Tensor | None = None) -> Tensor:
        """What a block makes of noisy embeddings: the mean of clean ones, or a velocity, ``(B, d)``.

        Args:
            number: Which block, from 0.
            seen: What its encoder gave, ``(B, C)``.
            z: ``(B, d)``.
            time: Of each sample, ``(B,)``, unless time is discrete.
        """
        found: Tensor = self.blocks[number](seen, z, time)
        return found if self.form == "flow" else found.softmax(1) @ self.embeddings

    def iterated(self, seen: list[Tensor]) -> Tensor:
        """The last z, ``(B, d)``, of what the encoders of the blocks gave, ``(B, C)`` each."""
        noise = self.get_buffer("noise")
        z = noise[:1].expand(seen[0].shape[0], -1)
        if self.form == "discrete":
            kept = cosine(self.steps).to(noise)
            for number, (a, b, c) in enumerate(zip(*transition(kept[:-1], kept[1:]), strict=True)):
                z = a * self.denoised(number, seen[number], z) + b * z + c.sqrt() * noise[number + 1]
            return z
        times = torch.linspace(0, 1, self.steps + 1, device=noise.device, dtype=noise.dtype)
        kept = log_linear(times)[0]
        for number in range(self.steps):
            found = self.denoised(0, seen[0], z, times[number].expand(z.shape[0]))
            if self.form == "flow":
                z = z + found / self.steps
            else:
                rest = (z - kept[number].sqrt() * found) / (1 - kept[number]).sqrt()
                z = noised(found, kept[number + 1], rest)
        return z

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, K)`` of ``(B, C, *S)``."""
        return self.map_and_logits(x)[1]

    def map_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last map of the first block's encoder, and the logits ``(B, K)``."""
        maps = [cast(Denoiser, block).map_of(x) for block in self.blocks]
        return maps[0], self.fc_of(self.iterated([one.flatten(2).mean(2) for one in maps]))

    def fc_of(self, z: Tensor) -> Tensor:
        """Logits ``(B, K)`` of embeddings ``(B, d)``."""
        return cast(nn.Linear, self.fc)(z)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the first block's encoder, ``(B, stage.channels, *S / stage.stride)`` each."""
        return cast("list[Tensor]", cast(Any, self.blocks[0]).encoder.features(x))

    def classify(self, last: Tensor) -> Tensor:
        """Refuse: no single map ``(B, C, *S)`` has what all blocks see.

        Raises:
            ValueError: Always.
        """
        raise ValueError("LabelDenoiser has no head that classifies a map alone")


class Denoiser(nn.Module):
    """A block: a picture by its encoder, a noisy embedding ``(B, d)``, and perhaps the time, to numbers ``(B, out)``.

    Args:
        encoder: A trunk, whose last map is averaged over positions.
        size: d.
        out: How many numbers come out.
        hidden: Width of the linear layers.
        timed: Whether the time is seen.
    """

    def __init__(self, encoder: Backbone, size: int, out: int, hidden: int, timed: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.picture = nn.Sequential(nn.Linear(encoder.stages[-1].channels, hidden), nn.LayerNorm(hidden))
        self.label = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, hidden), nn.ReLU()) if timed else None
        parts = 3 if timed else 2
        self.mix = nn.Sequential(nn.Linear(parts * hidden, hidden), nn.ReLU(), nn.Linear(hidden, out))

    def map_of(self, x: Tensor) -> Tensor:
        """The last map of ``(B, C, *S)``."""
        return cast(Tensor, self.encoder(x)[-1])

    def seen(self, x: Tensor) -> Tensor:
        """The mean over positions of the last map of ``(B, C, *S)``, ``(B, C')``."""
        return self.map_of(x).flatten(2).mean(2)

    def forward(self, seen: Tensor, z: Tensor, time: Tensor | None = None) -> Tensor:
        """Numbers ``(B, out)`` of a picture's vector ``(B, C)``, an embedding ``(B, d)`` and times ``(B,)``."""
        parts = [self.picture(seen).relu(), self.label(z)]
        if self.time is not None and time is not None:
            octaves = torch.arange(FREQUENCIES, device=z.device, dtype=z.dtype) / 2
            angles = time[:, None] * math.pi * octaves.exp2()
            parts.append(self.time(torch.cat([angles.sin(), angles.cos()], 1)))
        return cast(Tensor, self.mix(torch.cat(parts, 1)))
