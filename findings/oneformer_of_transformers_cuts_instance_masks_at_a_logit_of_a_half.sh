#!/usr/bin/env bash
# The instance segmentation of transformers' OneFormer takes logits of masks for probabilities: mask_threshold, 0.5 by
# default, is documented as the threshold that makes masks binary, and post_process_panoptic_segmentation of the same
# class applies it behind a sigmoid. post_process_instance_segmentation compares the logits with it. An object whose
# pixels are 55 or 60 % likely is in the panoptic result and missing in the instances; 0.5 acts as 62 %.
#
# Version: transformers 5.24.0, torch 2.13.0, torchvision 0.28.0, CPU.
# Input: one query that is sure of its class, and of half of an 8 x 8 picture by a probability.
# Seen: the number of segments found at 55, 60 and 65 %.
# Expected: 1 each time in both.
# Output seen:
#   probability 0.55: instance 0, panoptic 1
#   probability 0.6: instance 0, panoptic 1
#   probability 0.65: instance 1, panoptic 1
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" \
  torch==2.13.0 torchvision==0.28.0 transformers==5.24.0 pillow numpy==2.4.6
cat > "$place/instances.py" <<'PYTHON'
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import OneFormerImageProcessor

Path(sys.argv[1], "classes.json").write_text(json.dumps({"0": {"name": "dog", "isthing": 1}}))
processor = OneFormerImageProcessor(repo_path=sys.argv[1], class_info_file="classes.json", num_text=1)
for probability in (0.55, 0.6, 0.65):
    masks = torch.full((1, 1, 8, 8), -9.0)
    masks[..., :4] = torch.tensor(probability).logit()
    outputs = SimpleNamespace(class_queries_logits=torch.tensor([[[9.0, -9.0]]]), masks_queries_logits=masks)
    (instances,) = processor.post_process_instance_segmentation(outputs)
    (panoptic,) = processor.post_process_panoptic_segmentation(outputs, label_ids_to_fuse=set())
    counts = [len(found["segments_info"]) for found in (instances, panoptic)]
    print(f"probability {probability}: instance {counts[0]}, panoptic {counts[1]}")
PYTHON
"$place/venv/bin/python" "$place/instances.py" "$place" 2> /dev/null > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
probability 0.55: instance 0, panoptic 1
probability 0.6: instance 0, panoptic 1
probability 0.65: instance 1, panoptic 1
SEEN
