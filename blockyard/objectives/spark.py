"""A pretext for samples without labels: to fill in the patches that are masked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from blockyard.backbones import Backbone, FrontEnded
from blockyard.backbones.skeletons.parts import LayerNorm
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.objectives.base import Learner, Logged, Objective
from blockyard.objectives.intermediate_supervision import cropped
from blockyard.objectives.sparse import Read, Visible, refuse_mixing, sparsely
from blockyard.plugging import undisturbed

_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


class SparK(Objective):
    """The mean over masked patches of ‖d(f(x ⊙ m)) - p‖² / n, with p the n numbers of a patch, standardised.

    Tian et al., Designing BERT for Convolutional Networks, ICLR 2023. A patch is as large as a position of the last
    map, of samples ``(B, C, *S)``. The convolutional network f sees the visible ones as a sparse network does: what
    each of its layers gives is masked again, and its norms and pools are over the visible positions. The decoder d
    fills masked positions of every map with a learned token and goes up from the smallest to the pixels, adding a map
    of each resolution on its way. No label is read, and nothing is asked of visible patches. Samples lose what is no
    whole patch at their ends.

    The network is the one that is fine-tuned later, under the same names; the decoder is left behind. Parts behind the
    maps of its stages, such as a classifier, stay as they are, which is said in one line. What mixes positions that
    are far apart, such as attention or a gate of a mean, knows nothing of masks and is refused.

    In training masks are drawn anew for every batch; a validation has the same for all.

    Args:
        mask_ratio: Share of the patches that is masked.
        width: Channels of the decoder at the smallest map, half as many at each step, 8 at least; None is those of it.

    Raises:
        ValueError: If the ratio is not within 0 and 1, or there is no channel.
    """

    paper: ClassVar[str] = (
        "Tian et al., Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling, ICLR 2023"
    )
    slot: ClassVar[str] = "objective"
    primary_metric: ClassVar[str | None] = "explained_variance"
    decoder: LightDecoder

    def __init__(self, mask_ratio: float = 0.6, width: int | None = None) -> None:
        super().__init__()
        if not 0 < mask_ratio < 1:
            raise ValueError(f"objective: SparK: mask_ratio={mask_ratio} must be above 0 and below 1")
        if width is not None and width < 1:
            raise ValueError(f"objective: SparK: width={width} must be at least 1")
        self.mask_ratio, self.width = mask_ratio, width
        self.patch: tuple[int, ...] = ()
        self.channels_last = frozenset[str]()
        self.kept: list[int] = []

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Look whether the network can be run sparsely, and make the decoder.

        Args:
            task: Holds the network.
            input_shape: ``(C, *S)`` of one sample.

        Raises:
            ValueError: If it can't, its stages give no maps of the sample's rank, or a sample is less than two patches.
        """
        network = task.network
        with undisturbed(network):
            x = _behind_front_end(network, torch.zeros(1, *input_shape))
            maps = self._maps(network, x)
            self.patch = tuple(-(-n // m) for n, m in zip(x.shape[2:], maps[-1].shape[2:], strict=True))
            grid = [n // p for n, p in zip(x.shape[2:], self.patch, strict=True)]
            if math.prod(grid) < 2:
                size, patch = (" × ".join(map(str, each)) for each in (x.shape[2:], self.patch))
                raise ValueError(f"objective: SparK: samples of {size} are less than two patches of {patch}")
            two = (x.shape[1], *(2 * p for p in self.patch))
            self.channels_last = refuse_mixing(network, reader, two)
            sizes = [m.shape[2:] for m in self._maps(network, x.new_zeros(1, *two))]
        strides = _strides(two[1:], sizes)
        # of maps of one resolution, the last
        self.kept = [i for i, s in enumerate(strides) if s != (strides[i + 1] if i + 1 < len(strides) else None)][::-1]
        widths = [maps[i].shape[1] for i in self.kept]
        with torch.random.fork_rng(devices=[]):
            ways = [strides[i] for i in self.kept]
            self.decoder = LightDecoder(widths, ways, x.shape[1], self.width or widths[0])
        self._look_back(task, torch.zeros(2, *two))

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The loss of ``input`` ``(B, C, *S)``, or a list of samples ``(C, *S)`` of any sizes.

        What is logged is the share of the masked patches' variance that is told; patches of one colour have none.

        Raises:
            ValueError: If the network is compiled.
        """
        if getattr(task, "compiler", None):
            raise ValueError("objective: SparK masks what each layer gives: leave compile at null")
        inputs = batch["input"]
        groups = [sample[None] for sample in inputs] if isinstance(inputs, list) else [inputs]
        wrong, spread, count = (torch.zeros((), device=groups[0].device) for _ in range(3))
        for group in groups:
            x = _behind_front_end(task.network, group).detach()
            x = cropped(x, [n - n % p for n, p in zip(x.shape[2:], self.patch, strict=True)])
            visible = self.visible(x)
            found = self.decoder(self._encode(task.network, x, visible), visible)
            masked = ~visible.patches.flatten(1)
            wrong = wrong + self.errors(found, x)[masked].sum()
            spread = spread + self.errors(torch.zeros_like(found), x)[masked].sum()
            count = count + masked.sum()
        return wrong / count, {"explained_variance": 1 - wrong.detach() / spread.clamp_min(1e-6)}

    def errors(self, found: Tensor, x: Tensor) -> Tensor:
        """Mean squared error ``(B, N)`` of each patch of ``(B, C, *S)``, of numbers of mean 0 and variance 1."""
        told, true = (in_patches(each.float(), self.patch) for each in (found, x))
        spread = (true.var(2, keepdim=True) + 1e-6).sqrt()
        return (told - (true - true.mean(2, keepdim=True)) / spread).square().mean(2)

    def visible(self, x: Tensor) -> Visible:
        """Which patches of ``(B, C, *S)`` are seen, as many of each sample; the same for every batch in evaluation."""
        grid = [n // p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        number = math.prod(grid)
        seen = min(max(round(number * (1 - self.mask_ratio)), 1), number - 1)
        # on the CPU, so that every device masks the same
        generator = None if self.training else torch.Generator().manual_seed(0)
        order = torch.rand(len(x), number, generator=generator, device="cpu").argsort(1)
        patches = torch.zeros(len(x), number, dtype=torch.bool).scatter_(1, order[:, :seen], True)
        return Visible(patches.view(len(x), 1, *grid).to(x.device), self.channels_last)

    def _encode(self, network: nn.Module, x: Tensor, visible: Visible) -> list[Tensor]:
        """The maps of what is visible of ``(B, C, *S)``, the smallest first."""
        mask = cast(Tensor, visible.at(x.shape[2:]))
        with sparsely(network, visible):
            maps = reader(network)(x.masked_fill(~mask, 0))
        return [maps[i] for i in self.kept]

    def _look_back(self, task: Learner, x: Tensor) -> None:
        """Hold what no gradient reaches, and refuse a network that runs a part again for it: nothing is masked then."""
        network = task.network
        with undisturbed(network), torch.enable_grad(), _counting(network) as runs:
            for module in network.modules():  # some run again in training alone
                module.training = True
            result = torch.stack([each.sum() for each in self._encode(network, x, self.visible(x))])
            forward = runs.copy()
            self.hold_unreached(task, result)
        if again := next(iter(runs - forward), None):
            raise ValueError(f"objective: SparK: {again} runs again on the way back, where nothing is masked")

    def _maps(self, network: nn.Module, x: Tensor) -> list[Tensor]:
        """What the stages give, which are to be maps of the sample's rank."""
        maps = reader(network)(x)
        if not maps or any(not isinstance(m, Tensor) or m.dim() != x.dim() or len(m) != len(x) for m in maps):
            kind = type(network).__name__
            raise ValueError(f"objective: SparK: the stages of {kind} give no maps (B, C, *S) of {tuple(x.shape[1:])}")
        return maps


class LightDecoder(nn.Module):
    """From maps of visible positions to the pixels, ``(B, C, *S)``.

    Positions of a map that are masked get a token; a convolution gives it the decoder's width, and it is added. A step
    up is a transposed convolution, and two of 3 taps along each axis with batch norms.

    Args:
        widths: Channels of the maps, the smallest first.
        strides: Pixels along each axis for one position, of each map.
        channels: C.
        width: Channels at the first map.
    """

    def __init__(self, widths: list[int], strides: list[tuple[int, ...]], channels: int, width: int) -> None:
        super().__init__()
        rank = len(strides[0])
        conv = CONVOLUTIONS[rank]
        self.norms = nn.ModuleList(LayerNorm(channels, 1e-6) for channels in widths)
        self.tokens = nn.ParameterList(nn.init.trunc_normal_(torch.empty(n), std=0.02) for n in widths)
        self.projects, self.ups = nn.ModuleList(), nn.ModuleList()
        pairs = zip(widths, strides, [*strides[1:], (1,) * rank], strict=True)
        for number, (channels_in, stride, finer) in enumerate(pairs):
            taps = 3 if number else 1
            self.projects.append(conv(channels_in, width, taps, padding=taps // 2))
            steps = list[nn.Module]()
            for step in _halves([a // b for a, b in zip(stride, finer, strict=True)]):
                narrower = max(width // 2, min(width, 8))
                steps.append(_up(width, narrower, step))
                width = narrower
            self.ups.append(nn.Sequential(*steps))
        self.pixels = conv(width, channels, 1)

    def forward(self, maps: list[Tensor], visible: Visible) -> Tensor:
        """Pixels ``(B, C, *S)`` of the maps ``(B, C_i, *S_i)`` of visible patches, the smallest map first."""
        x: Tensor | None = None
        for found, norm, token, project, up in zip(maps, self.norms, self.tokens, self.projects, self.ups, strict=True):
            mask = cast(Tensor, visible.at(found.shape[2:]))
            filled = norm(found).where(mask, token.view(-1, *(1,) * (found.dim() - 2)))
            added = project(filled)
            x = up(added if x is None else x + added)
        return cast(Tensor, self.pixels(x))


def in_patches(x: Tensor, patch: tuple[int, ...]) -> Tensor:
    """The numbers of each patch ``(B, N, n)`` of ``(B, C, *S)``, a patch's channels together."""
    rank = len(patch)
    split = [part for n, p in zip(x.shape[2:], patch, strict=True) for part in (n // p, p)]
    order = [0, *range(2, 2 + 2 * rank, 2), 1, *range(3, 3 + 2 * rank, 2)]
    parts = x.reshape(*x.shape[:2], *split).permute(order)
    return parts.flatten(1 + rank).flatten(1, rank)


def reader(network: Any) -> Read:
    """What gives the maps of the stages of a task's network, after the front end if it has one.

    Raises:
        ValueError: If nothing does.
    """
    whole = network.backbone if isinstance(network, FrontEnded) else network
    if isinstance(whole, Backbone):
        return whole.features
    if hasattr(whole, "read"):  # of a Segmentor
        return cast(Read, whole.read)
    if isinstance(getattr(whole, "backbone", None), Backbone):
        return cast(Backbone, whole.backbone).features
    raise ValueError(f"objective: SparK: {type(network).__name__} gives no maps of stages")


def _behind_front_end(network: nn.Module, x: Tensor) -> Tensor:
    return cast(Tensor, network.front_end(x)) if isinstance(network, FrontEnded) else x


def _strides(pixels: Sequence[int], sizes: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Pixels for one position along each axis, of each map.

    Raises:
        ValueError: If a map's is no multiple of that of the map before it.
    """
    strides, finer = list[tuple[int, ...]](), tuple(1 for _ in pixels)
    for size in sizes:
        stride = tuple(n // m for n, m in zip(pixels, size, strict=True))
        if any(n % m for n, m in zip((*pixels, *stride), (*size, *finer), strict=True)):
            raise ValueError(f"objective: SparK: maps {tuple(size)} of {tuple(pixels)} pixels are no whole patches")
        strides.append(stride)
        finer = stride
    return strides


def _halves(factors: list[int]) -> Iterator[list[int]]:
    """Factors along each axis as steps of 2, and one of what is no multiple of it."""
    while any(factor > 1 for factor in factors):
        step = [2 if factor % 2 == 0 else factor for factor in factors]
        yield step
        factors = [factor // part for factor, part in zip(factors, step, strict=True)]


def _up(channels: int, narrower: int, factors: list[int]) -> nn.Sequential:
    rank = len(factors)
    conv, norm = CONVOLUTIONS[rank], BATCH_NORMS[rank]
    around = [factor // 2 for factor in factors]  # a kernel of so many more on both sides keeps the size to the factor
    taps = [factor + 2 * more for factor, more in zip(factors, around, strict=True)]
    return nn.Sequential(
        _TRANSPOSED[rank](channels, channels, taps, factors, around),
        conv(channels, channels, 3, padding=1, bias=False),
        norm(channels),
        nn.ReLU6(),
        conv(channels, narrower, 3, padding=1, bias=False),
        norm(narrower),
    )


@contextmanager
def _counting(network: nn.Module) -> Iterator[Counter[str]]:
    """How often each module runs, by its path."""
    runs = Counter[str]()

    def count(path: str) -> Any:
        return lambda *_: runs.update([path])

    handles = [module.register_forward_pre_hook(count(path)) for path, module in network.named_modules()]
    try:
        yield runs
    finally:
        for handle in handles:
            handle.remove()
