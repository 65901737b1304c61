#!/usr/bin/env bash
# torchmetrics' macro accuracy leaves out a class without samples, until one sample is taken for it: then it counts as 0.
#
# Versions: torchmetrics 1.9.0, torch 2.13.0.
# Input: 10 classes of which 2 occur, 50 samples each; 98 of 100 samples are right. The two mistakes name the other class
#   that occurs, or two classes that do not occur.
# Seen: macro accuracy (the mean of the classes' recall) 0.98 in the first case and 0.49 in the second, though the recall
#   of both classes is 0.98 in both. A class without samples has no recall; which class a mistake names does not
#   change any recall. scikit-learn's balanced_accuracy_score says 0.98 twice.
# Expected: 0.98 twice.
# Output seen:
#   mistakes name classes that occur: macro accuracy 0.9800, of each class 0.98 0.98
#   mistakes name classes that do not: macro accuracy 0.4900, of each class 0.98 0.98
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
"$place/venv/bin/python" - > "$place/seen" <<'PYTHON'
import torch
from torchmetrics.functional.classification import multiclass_accuracy

target = torch.tensor([0] * 50 + [1] * 50)
for words, named in (("occur", (1, 0)), ("do not", (7, 8))):
    predicted = target.clone()
    predicted[0], predicted[50] = named
    macro = multiclass_accuracy(predicted, target, 10, average="macro")
    single = multiclass_accuracy(predicted, target, 10, average=None)[:2].tolist()
    print(f"mistakes name classes that {words}: macro accuracy {macro:.4f}, of each class {single[0]:.2f} {single[1]:.2f}")
PYTHON
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
mistakes name classes that occur: macro accuracy 0.9800, of each class 0.98 0.98
mistakes name classes that do not: macro accuracy 0.4900, of each class 0.98 0.98
SEEN
