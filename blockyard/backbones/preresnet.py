"""Pre-activation ResNets for small images, as the code of the spectral nonlocal paper builds them.

He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016; the variant of Zhu et al., Unifying
Nonlocal Blocks for Neural Networks, ICCV 2021: projection shortcuts with normalisation, and a 1×1 convolution and
dropout before the classifier.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.backbones.base import Backbone, Stage


class BasicBlock(nn.Module):
    """BN-ReLU-3×3 twice, ``(B, C_in, H, W)`` to ``(B, width, H / stride, W / stride)``."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual branch to the shortcut."""
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        return y + self.shortcut(x)


class Bottleneck(nn.Module):
    """BN-ReLU-conv with 1×1, 3×3, 1×1, ``(B, C_in, H, W)`` to ``(B, 4 width, H / stride, W / stride)``."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual branch to the shortcut."""
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        y = self.conv3(F.relu(self.bn3(y)))
        return y + self.shortcut(x)


_DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], int]] = {20: (BasicBlock, 3), 56: (Bottleneck, 9)}


class PreResNet(Backbone):
    """PreResNet-20, or what the paper calls PreResNet-56.

    Depth 20 is BasicBlock [3, 3, 3]. Depth 56 keeps the paper's name but is Bottleneck [9, 9, 9], which has 83
    convolutions on its main path. Three stages of 16, 32 and 64 channels (4 times that with bottlenecks) at strides
    1, 2 and 4; any input size.

    Args:
        num_classes: Number of classes K.
        in_channels: Channels of the images.
        depth: 20 or 56.
        dropout: Probability of dropout before the classifier.

    Raises:
        ValueError: If there is no such depth.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, depth: int = 20, dropout: float = 0.5) -> None:
        super().__init__(num_classes, in_channels)
        if depth not in _DEPTHS:
            raise ValueError(f"PreResNet: depth must be one of {', '.join(map(str, _DEPTHS))}, got {depth}")
        unit, count = _DEPTHS[depth]
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.layer1 = _stage(unit, 16, 16, count, stride=1)
        self.layer2 = _stage(unit, 16 * unit.expansion, 32, count, stride=2)
        self.layer3 = _stage(unit, 32 * unit.expansion, 64, count, stride=2)
        channels = 64 * unit.expansion
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        self.stages = tuple(Stage(f"layer{i + 1}", 16 * 2**i * unit.expansion, 2**i) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Classify ``(B, in_channels, H, W)``; logits ``(B, num_classes)``."""
        x = F.relu(self.bn1(self.features(x)[-1]))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.fc(self.dropout(x.mean((2, 3))))

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the three stages, ``(B, stage.channels, H / stage.stride, W / stage.stride)`` each."""
        first = self.layer1(self.conv1(x))
        second = self.layer2(first)
        return [first, second, self.layer3(second)]


def _stage(
    unit: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, count: int, stride: int
) -> nn.Sequential:
    others = [unit(width * unit.expansion, width) for _ in range(count - 1)]
    return nn.Sequential(unit(in_channels, width, stride), *others)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
