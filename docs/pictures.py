"""Draw the README's pictures of a tested network again: ``python docs/pictures.py CHECKPOINT``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from PIL import Image

from blockyard.commands.training import run
from blockyard.tasks import PersonReID, SemanticSegmentation
from blockyard.tasks.person_reid.report import RankedGallery
from blockyard.tasks.segmentation.cases import SegmentationCases

DOCS = Path(__file__).parent
PICTURES = ("cases.png", "ranking.png")


def main(checkpoint: str) -> None:
    """Test a checkpoint, with fewer rows in its pictures, and keep those of :data:`PICTURES`."""
    SemanticSegmentation.reports = (partial(SegmentationCases, rows=4),)
    PersonReID.reports = (partial(RankedGallery, rows=4, columns=8),)
    place = Path(checkpoint).parents[1]
    run("test", ["--ckpt_path", checkpoint, "--trainer.limit_test_batches", "1.0"])
    for picture in (place / name for name in PICTURES):
        if picture.is_file():
            # Photographs as PNG are heavy in a repository; 256 colours will do.
            with Image.open(picture) as drawn:
                drawn.convert("RGB").quantize(256).save(DOCS / picture.name, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
