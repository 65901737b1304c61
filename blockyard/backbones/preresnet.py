"""Pre-activation ResNets for small inputs, as the code of the spectral nonlocal paper builds them.

He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016; the variant of Zhu et al., Unifying
Nonlocal Blocks for Neural Networks, ICCV 2021: projection shortcuts with normalisation, and a 1×1 convolution and
dropout before the classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.poolings import Pooling

CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}


class BasicBlock(nn.Module):
    """BN-ReLU-3×3 twice, ``(B, C_in, *S)`` to ``(B, width, *S / stride)``."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1, spatial_dims: int = 2) -> None:
        super().__init__()
        conv, norm = CONV[spatial_dims], NORM[spatial_dims]
        self.bn1 = norm(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(in_channels, width, 3, stride, 1, bias=False)
        self.bn2 = norm(width)
        self.relu2 = nn.ReLU()
        self.conv2 = conv(width, width, 3, 1, 1, bias=False)
        self.shortcut = _shortcut(in_channels, width, stride, spatial_dims)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual branch of ``(B, C, *S)`` to the shortcut."""
        y = self.conv1(self.relu1(self.bn1(x)))
        y = self.conv2(self.relu2(self.bn2(y)))
        return y + self.shortcut(x)


class Bottleneck(nn.Module):
    """BN-ReLU-conv with 1×1, 3×3, 1×1, ``(B, C_in, *S)`` to ``(B, 4 width, *S / stride)``."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1, spatial_dims: int = 2) -> None:
        super().__init__()
        conv, norm = CONV[spatial_dims], NORM[spatial_dims]
        out_channels = width * self.expansion
        self.bn1 = norm(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(in_channels, width, 1, bias=False)
        self.bn2 = norm(width)
        self.relu2 = nn.ReLU()
        self.conv2 = conv(width, width, 3, stride, 1, bias=False)
        self.bn3 = norm(width)
        self.relu3 = nn.ReLU()
        self.conv3 = conv(width, out_channels, 1, bias=False)
        self.shortcut = _shortcut(in_channels, out_channels, stride, spatial_dims)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual branch of ``(B, C, *S)`` to the shortcut."""
        y = self.conv1(self.relu1(self.bn1(x)))
        y = self.conv2(self.relu2(self.bn2(y)))
        y = self.conv3(self.relu3(self.bn3(y)))
        return y + self.shortcut(x)


_DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], int]] = {
    8: (BasicBlock, 1),
    20: (BasicBlock, 3),
    56: (Bottleneck, 9),
}


class PreResNet(Backbone):
    """PreResNet-20, or what the paper calls PreResNet-56; also for sequences and video.

    Depth 20 is BasicBlock [3, 3, 3], depth 8 is [1, 1, 1]. Depth 56 keeps the paper's name but is Bottleneck
    [9, 9, 9], which has 83 convolutions on its main path. Three stages of 16, 32 and 64 channels (4 times that with
    bottlenecks; ``width`` makes them wider) at strides 1, 2 and 4 (powers of ``stage_stride``), times ``stem_stride``
    in space; any input size.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depth: 8, 20 or 56.
        dropout: Probability of dropout before the classifier.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video, where the stages stride time too.
        stem_stride: Stride of the first convolution over space, never over time.
        stem_kernel: Its size over space, odd; None takes 3. A waveform wants one as wide as a few milliseconds (Dai et
            al., Very deep convolutional neural networks for raw waveforms, ICASSP 2017: 10 ms, stride 4).
        stage_stride: Stride of the second and the third stage; None takes 2.
        pooling: In place of the mean over positions; called with the channels of the last map.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it. One line says what is left out, such as a classifier of other classes, and what starts anew.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.
        linear: Whether the activations are left out, so that in evaluation the logits are an affine function of the
            input, but for what blocks make of it; None means no.
        frames_apart: Whether convolutions of a video have one tap and stride 1 over time, so that each frame is seen by
            itself until they are averaged, but for what blocks make of it; None means no.
        width: Channels of the first stage's 3×3 convolutions, of which the later have twice and four times as many
            (Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016); None takes 16.

    Raises:
        ValueError: If there is no such depth or rank, a stride or the kernel does not exist, or the weights are not the
            network's.
    """

    head_parts = ("bn1", "relu1", "conv2", "bn2", "relu2", *Backbone.head_parts)
    without_effect: ClassVar[tuple[str, ...]] = ("layer*.0.shortcut.1.bias",)
    """As of a :class:`blockyard.blocks.Block`: batch norms stand before all that reads the sum it goes into. Where a
    block is plugged in or a stage's map is used, it has an effect."""

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depth: int = 20,
        dropout: float = 0.5,
        spatial_dims: int = 2,
        stem_stride: int = 1,
        stem_kernel: int | None = None,
        stage_stride: int | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
        linear: bool | None = None,
        frames_apart: bool | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels)
        for name, value, allowed in (("depth", depth, _DEPTHS), ("spatial_dims", spatial_dims, CONV)):
            if value not in allowed:
                raise ValueError(f"PreResNet: {name} must be one of {', '.join(map(str, allowed))}, got {value}")
        kernel, step = 3 if stem_kernel is None else stem_kernel, 2 if stage_stride is None else stage_stride
        first = 16 if width is None else width
        numbers = {"stem_stride": stem_stride, "stem_kernel": kernel, "stage_stride": step, "width": first}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"PreResNet: {name} must be at least 1, got {value}")
        if kernel % 2 == 0:
            raise ValueError(f"PreResNet: stem_kernel must be odd, got {kernel}")
        if frames_apart and spatial_dims != 3:
            raise ValueError(f"PreResNet: frames_apart is for video, spatial_dims 3, got {spatial_dims}")
        unit, count = _DEPTHS[depth]
        self.rank, conv, norm = spatial_dims, CONV[spatial_dims], NORM[spatial_dims]
        self.conv1 = _stem(in_channels, first, kernel, stem_stride, spatial_dims)
        self.layer1 = _stage(unit, first, first, count, 1, spatial_dims)
        self.layer2 = _stage(unit, first * unit.expansion, 2 * first, count, step, spatial_dims)
        self.layer3 = _stage(unit, 2 * first * unit.expansion, 4 * first, count, step, spatial_dims)
        outs = [first * 2**i * unit.expansion for i in range(3)]
        channels = outs[-1]
        self.bn1 = norm(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = conv(channels, channels, 1, bias=False)
        self.bn2 = norm(channels)
        self.relu2 = nn.ReLU()
        self.stages = tuple(Stage(f"layer{i + 1}", n, stem_stride * step**i) for i, n in enumerate(outs))
        self.make_head(channels, pooling, dropout)
        self._take_away(bool(linear), bool(frames_apart))
        self.load_weights(weights, strict)

    def _take_away(self, activations: bool, time: bool) -> None:
        for path, module in list(self.named_modules()):
            if activations and isinstance(module, nn.ReLU):
                self.set_submodule(path, nn.Identity())
            elif time and isinstance(module, nn.Conv3d):
                self.set_submodule(path, _frame_by_frame(module))

    def last_map(self, x: Tensor) -> Tensor:
        """The map behind the last 1×1 convolution, ``(B, C, *S')``."""
        x = self.relu1(self.bn1(self.features(x)[-1]))
        return self.relu2(self.bn2(self.conv2(x)))

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the three stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        first = self.layer1(self.conv1(x))
        second = self.layer2(first)
        return [first, second, self.layer3(second)]


def _stem(in_channels: int, width: int, kernel: int, stride: int, spatial_dims: int) -> nn.Module:
    """A convolution of that size and stride over space, with three taps over the time of a video."""
    size, step, padding = [kernel] * spatial_dims, [stride] * spatial_dims, [kernel // 2] * spatial_dims
    if spatial_dims == 3:
        size[0], step[0], padding[0] = 3, 1, 1
    return CONV[spatial_dims](in_channels, width, size, step, padding, bias=False)  # type: ignore[arg-type]


def _stage(
    unit: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, count: int, stride: int, spatial_dims: int
) -> nn.Sequential:
    others = [unit(width * unit.expansion, width, 1, spatial_dims) for _ in range(count - 1)]
    return nn.Sequential(unit(in_channels, width, stride, spatial_dims), *others)


def _frame_by_frame(conv: nn.Conv3d) -> nn.Conv3d:
    """The same convolution with one tap over time."""
    size, step, padding = (list(each)[1:] for each in (conv.kernel_size, conv.stride, conv.padding))
    options: dict[str, Any] = {"stride": (1, *step), "padding": (0, *padding), "bias": conv.bias is not None}
    return nn.Conv3d(conv.in_channels, conv.out_channels, (1, *size), **options)  # type: ignore[arg-type]


def _shortcut(in_channels: int, out_channels: int, stride: int, spatial_dims: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    conv = CONV[spatial_dims](in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, NORM[spatial_dims](out_channels))
