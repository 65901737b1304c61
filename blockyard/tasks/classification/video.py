"""Action recognition: one label a video, read in several views."""

from __future__ import annotations

from typing import ClassVar

from blockyard.tasks.classification.views import ViewClassification


class ActionRecognition(ViewClassification):
    """Names the action in each video; the arguments are those of :class:`Classification`.

    The network sees clips ``(B, C, T, H, W)``. In evaluation a video is read in several views, clips times crops, whose
    class probabilities are averaged; every metric and score is one of *videos*. Those that can't be decoded are named,
    left out, and counted as ``test/missing_videos``.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("videos with a class",)
    ranks: ClassVar[tuple[int, ...]] = (3,)
    called: ClassVar[str] = "videos"
    pipeline: ClassVar[str] = "video-classification"
