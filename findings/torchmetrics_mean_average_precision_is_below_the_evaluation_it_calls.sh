#!/usr/bin/env bash
# torchmetrics' MeanAveragePrecision hands boxes to pycocotools and says that it gives pycocotools' numbers; by its
# defaults they are lower. It replaces COCO's thresholds, multiples of 0.01 and 0.05 in double precision, by those of
# torch.linspace in single precision, made lists: 36 of the 101 points of recall are above COCO's, 0.6 is 0.6000000238.
# Where three of five objects have been found, the recall of 3/5 then fails the point 0.6, and the precision further down
# counts there; likewise overlaps at 0.55, 0.6, 0.8 and 0.85. Any class whose objects are a multiple of five passes such
# recalls. Given lists of doubles, as rec_thresholds and iou_thresholds, it gives pycocotools' numbers.
#
# Version: torchmetrics 1.9.0, pycocotools 2.0.11, torch 2.13.0, CPU.
# Input: five boxes of one class; found in order of score: three of them, 27 where nothing is, the other two.
# Seen: map 0.6575 by defaults; pycocotools, and torchmetrics with thresholds in double precision: 0.6658.
# Expected: the same number.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 torchmetrics==1.9.0 \
  torchvision==0.28.0 pycocotools==2.0.11 numpy==2.4.6
cat > "$place/map.py" <<'PYTHON'
import contextlib
import io

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import MeanAveragePrecision

true = torch.tensor([[20.0 * i, 0, 20.0 * i + 10, 10] for i in range(5)])
found = torch.cat([true[:3], true[:1].expand(27, -1) + 100, true[3:]])
scores = torch.linspace(0.95, 0.5, len(found))
labels = torch.ones(5, dtype=torch.int), torch.ones(len(found), dtype=torch.int)


def by_torchmetrics(**options):
    metric = MeanAveragePrecision(**options)
    metric.update([{"boxes": found, "scores": scores, "labels": labels[1]}], [{"boxes": true, "labels": labels[0]}])
    return float(metric.compute()["map"])


def by_pycocotools():
    def corner(box):
        x, y, right, bottom = box.tolist()
        return [x, y, right - x, bottom - y]

    coco = COCO()
    shared = {"image_id": 1, "category_id": 1, "iscrowd": 0}
    truths = [{"id": i + 1, "bbox": corner(box), "area": 100.0, **shared} for i, box in enumerate(true)]
    coco.dataset = {"info": {}, "images": [{"id": 1}], "categories": [{"id": 1}], "annotations": truths}
    coco.createIndex()
    given = [{**shared, "bbox": corner(box), "score": float(s)} for box, s in zip(found, scores)]
    judged = COCOeval(coco, coco.loadRes(given), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    return float(judged.stats[0])


with contextlib.redirect_stdout(io.StringIO()):
    reference = by_pycocotools()
doubles = {"iou_thresholds": np.linspace(0.5, 0.95, 10).tolist(), "rec_thresholds": np.linspace(0, 1, 101).tolist()}
print(f"pycocotools {reference:.4f}")
print(f"torchmetrics {by_torchmetrics():.4f}")
print(f"torchmetrics, thresholds in double precision {by_torchmetrics(**doubles):.4f}")
PYTHON
"$place/venv/bin/python" "$place/map.py" > "$place/seen" 2>/dev/null
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
pycocotools 0.6658
torchmetrics 0.6575
torchmetrics, thresholds in double precision 0.6658
SEEN
