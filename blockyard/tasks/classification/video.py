"""Action recognition: one label a video, read in several views."""

from __future__ import annotations

from typing import Any, ClassVar

from blockyard.datamodules import DataModule
from blockyard.datamodules.suggesting import Choice
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

    @classmethod
    def suggest(cls, data: DataModule, trained: Choice | None, epochs: int) -> dict[str, Choice]:
        """Of a network of pictures, one frame after the other."""
        options = super().suggest(data, trained, epochs)
        if trained and trained.value["class_path"] == "TimmBackbone":
            backbone = {"class_path": "Framewise", "init_args": trained.value["init_args"]}
            options["backbone"] = Choice(backbone, f"{trained.reason}, frame by frame, as they are of pictures")
        return options

    @classmethod
    def untrained(cls, data: DataModule, **options: Any) -> Choice:
        """As narrow as published, with a coarse first map: a clip costs as much as many pictures."""
        return super().untrained(data, **{"width": 16, "stem_stride": 4} | options)
