"""Image classification."""

from __future__ import annotations

from blockyard.tasks.classification import Classification


class ImageClassification(Classification):
    """Names the class of each image ``(B, C, H, W)``; the arguments are those of :class:`Classification`."""
