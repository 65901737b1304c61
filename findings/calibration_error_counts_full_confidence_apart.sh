#!/usr/bin/env bash
# torchmetrics' calibration error of 15 bins has a sixteenth: a confidence of exactly 1 is counted apart from 0.9999.
#
# Versions: torchmetrics 1.9.0, torch 2.13.0.
# Input: 9 predictions of confidence 0.95, all right, and one of confidence 1.0, wrong. Both lie in the last of 15 equal
#   bins, [14/15, 1]. float32 softmax gives exactly 1.0 to every logit that leads by more than about 17.
# Seen: binary_calibration_error(n_bins=15) is 0.145: |9 * 0.05| / 10 + |-1| / 10, the two kinds in bins of their own.
#   With 1.0 replaced by 0.9999999, the same predictions give 0.055.
# Expected: 0.055 for both: |9 * 0.05 - 1| / 10 (Guo et al., 2017, whose last bin is (14/15, 1]).
# Output seen:
#   confidence 1.0000000 in the last place: 0.1450
#   confidence 0.9999999 in the last place: 0.0550
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
"$place/venv/bin/python" - > "$place/seen" <<'PYTHON'
import torch
from torchmetrics.functional.classification import binary_calibration_error

right = torch.tensor([1] * 9 + [0])
for last in (1.0, 0.9999999):
    confidence = torch.tensor([0.95] * 9 + [last])
    print(f"confidence {last:.7f} in the last place: {binary_calibration_error(confidence, right, n_bins=15):.4f}")
PYTHON
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
confidence 1.0000000 in the last place: 0.1450
confidence 0.9999999 in the last place: 0.0550
SEEN
