"""Any 2-D network of timm on the frames of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from blockyard.backbones.adapters.timm_backbone import TimmBackbone
from blockyard.backbones.base import Backbone, leaving_out
from blockyard.backbones.inputs.temporal import Attention, RecurrentClassifier, Temporal
from blockyard.plugging import fold_frames, tell_frames, unfold_frames


class Framewise(Backbone):
    """A network of timm applied to every frame, and a head over time.

    The frames are folded into the batch, so a block at one of the network's own paths, such as ``layer3.4``, works
    frame by frame; ``"space-time layer3.4"`` spans all frames of a clip. The head is one of

    - ``mean``: the classifier of the mean of the frames' features;
    - ``consensus``: the mean of the frames' logits (Wang et al., Temporal Segment Networks, ECCV 2016); the same as
      ``mean`` where the classifier is linear and nothing is dropped out;
    - ``attention``: the classifier of a weighted mean of the features, with learned weights;
    - ``lstm``: an LSTM over the features with a classifier of its own at each step, whose probabilities are averaged
      (LRCN, Donahue et al., CVPR 2015).

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the clips.
        name: Name in timm, with or without a weight tag.
        temporal: The head.
        pretrained: Download timm's weights.
        weights: Weights from a file instead, of the 2-D network or of the whole, as for :class:`TimmBackbone`.
        strict: Whether what does not match in the file is a mistake; if not, it is printed.
        hidden: Width of the LSTM.
        last_stride: 1 lets the last stage keep the resolution of the one before; None is the network's own.

    Raises:
        ValueError: If timm has no such network, the weights are not the network's, or the head needs a linear
            classifier and the network has none.
    """

    rank = 3
    stock_path = "frame.net"
    head_parts = ("attention", "recurrent")

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        name: str = "resnet18",
        temporal: Temporal = "mean",
        pretrained: bool = False,
        weights: str | Path | None = None,
        strict: bool = True,
        hidden: int = 256,
        last_stride: Literal[1] | None = None,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if temporal not in ("mean", "attention", "lstm", "consensus"):
            raise ValueError(f"Framewise: temporal must be mean, attention, lstm or consensus, got {temporal!r}")
        if pretrained and weights is not None:
            raise ValueError("Framewise: give pretrained=True or a file of weights, not both")
        outputs = max(num_classes, 1)
        self.frame = TimmBackbone(outputs, in_channels, name, pretrained, last_stride=last_stride)
        self.stages = self.frame.stages
        self.temporal = temporal
        net: Any = self.frame.net
        classifier = net.get_classifier()
        if temporal != "consensus" and not isinstance(classifier, nn.Linear):
            kind = type(classifier).__name__
            raise ValueError(f"Framewise: {name} ends in {kind}, not in a linear classifier; use temporal=consensus")
        if temporal == "attention":
            self.attention = Attention(classifier.in_features)
        if temporal == "lstm":
            self.recurrent = RecurrentClassifier(classifier.in_features, hidden, outputs)
            with leaving_out(net):
                net.reset_classifier(0)
        self.first_convolutions = tuple(f"frame.{path}" for path in self.frame.first_convolutions)
        self.classifiers = (*(f"frame.{path}" for path in self.frame.classifiers), "recurrent.classifier")
        if not num_classes:
            self.trunk()
        self.load_weights(weights, strict)

    def last_map(self, x: Tensor) -> Tensor:
        """The last maps of a clip's frames, ``(B, T, C, H', W')``, or tokens."""
        return self.frame.last_map(self._frames(x)).unflatten(0, (-1, x.shape[2]))

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of the last maps of the frames."""
        net: Any = self.frame.net
        maps, length = last.flatten(0, 1), last.shape[1]
        if self.temporal == "consensus":
            return net.forward_head(maps).unflatten(0, (-1, length)).mean(1)
        features = net.forward_head(maps, pre_logits=True).unflatten(0, (-1, length))
        if self.temporal == "lstm":
            return self.recurrent(features)
        return net.get_classifier()(self.attention(features) if self.temporal == "attention" else features.mean(1))

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, T, H / stage.stride, W / stage.stride)``, plugs included."""
        return [unfold_frames(maps, x.shape[2]) for maps in self.frame.features(self._frames(x))]

    def leave_head(self) -> None:
        """Take away the head over time and the network's own."""
        self.frame.leave_head()
        super().leave_head()

    def _frames(self, x: Tensor) -> Tensor:
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ValueError(f"Framewise takes clips (B, {self.in_channels}, T, H, W), got {tuple(x.shape)}")
        tell_frames(self, x.shape[2])
        return fold_frames(x)
