"""A network of timm by the name that it has in configurations of segmentation."""

from __future__ import annotations

from blockyard.backbones.adapters.timm_backbone import TimmBackbone


class TimmFeatures(TimmBackbone):
    """:class:`TimmBackbone` by the name that it has in configurations and records of segmentation."""
