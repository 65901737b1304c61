"""A network of three linear maps and one rectifier, whose logits can be drawn back to channels and times.

Cui, Lan, Sourina, Müller-Wittig: EEG-Based Cross-Subject Driver Drowsiness Recognition With an Interpretable
Convolutional Neural Network, TNNLS 2022. Layers and sizes are those of the authors' published code.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage


class InterpretableCNN(Backbone):
    """Mixtures of the channels, filters over time, a ReLU and a batch norm; the mean over time is classified.

    A convolution of one tap makes ``width`` series of all channels; each of them is filtered by ``multiplier`` kernels
    of its own, without padding, so that the map is ``kernel_size - 1`` shorter than the series.
    :func:`blockyard.analysis.evidence.evidence` says what each channel adds to a logit at each time. The published
    code has no running statistics: it normalises a test batch by its own mean and variance. This network keeps them, so
    that what it says of a series does not depend on others.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the series.
        width: Mixtures of channels.
        multiplier: Filters over time of each mixture.
        kernel_size: Their taps; 64 are half a second at 128 Hz.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a number is not positive, or the weights are not the network's; of series that are shorter than a
            kernel.
    """

    rank = 1
    first_convolutions = ("pointwise",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 30,
        width: int = 16,
        multiplier: int = 2,
        kernel_size: int = 64,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        numbers = {"width": width, "multiplier": multiplier, "kernel_size": kernel_size}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"InterpretableCNN: {name} must be at least 1, got {value}")
        filters = multiplier * width
        self.kernel_size = kernel_size
        self.pointwise = nn.Conv1d(in_channels, width, 1)
        self.depthwise = nn.Conv1d(width, filters, kernel_size, groups=width)
        self.relu = nn.ReLU()
        self.batchnorm = nn.BatchNorm1d(filters)
        self.stages = (Stage("batchnorm", filters, 1),)
        self.make_head(filters)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The only map, ``(B, multiplier * width, L - kernel_size + 1)``, of series ``(B, in_channels, L)``.

        Raises:
            ValueError: If they are shorter than a kernel.
        """
        return [self.batchnorm(self.relu(self.filtered(x)))]

    def filtered(self, x: Tensor) -> Tensor:
        """What the ReLU sees, ``(B, multiplier * width, L - kernel_size + 1)``.

        Raises:
            ValueError: If the series are shorter than a kernel.
        """
        if x.shape[-1] < self.kernel_size:
            raise ValueError(
                f"InterpretableCNN: series of {x.shape[-1]} samples are shorter than kernel_size={self.kernel_size}"
            )
        return self.depthwise(self.pointwise(x))
