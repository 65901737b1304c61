"""What all pyramids share: how a map passes their parts."""

from __future__ import annotations

from torch import Tensor

from blockyard.backbones.base import Backbone


class Pyramid(Backbone):
    """Stages ``layer1``, ``layer2``…, each behind what makes maps smaller: ``stem``, ``downsample2`` and so on."""

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        maps: list[Tensor] = []  # which torch.compile can read, as it can't list[Tensor]()
        for number, stage in enumerate(self.stages, 1):
            x = self.get_submodule("stem" if number == 1 else f"downsample{number}")(x)
            x = self.get_submodule(stage.path)(x)
            maps.append(x)
        return maps
