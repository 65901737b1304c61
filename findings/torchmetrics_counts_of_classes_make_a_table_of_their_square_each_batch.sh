#!/usr/bin/env bash
# torchmetrics' accuracy, precision, recall and F1 keep a few counts for each of K classes, and make them, at every
# update, by a table of all K x K pairs of classes, whatever the size of the batch: one sample of 21,841 classes takes
# 3.8 GB of 64-bit counts, and most of the time of a small network's step. The mean over classes is the default of these
# metrics. The micro average and the class-wise counts of the same package's multilabel metrics need no such table.
#
# Version: torchmetrics 1.9.0, torch 2.13.0, CPU.
# Input: the logits of one sample, of 500, 1,000 and 2,000 classes.
# Seen: the largest tensor that an update makes has K x K numbers with average macro, weighted and none; K with micro.
# Expected: of the order of K: the counts that are kept are 4 x K numbers, and a bincount of K each makes them.
# Output seen:
#   500 classes: macro 250000, weighted 250000, none 250000, micro 500
#   1000 classes: macro 1000000, weighted 1000000, none 1000000, micro 1000
#   2000 classes: macro 4000000, weighted 4000000, none 4000000, micro 2000
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
cat > "$place/counts.py" <<'PYTHON'
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchmetrics.classification import MulticlassAccuracy


class Largest(TorchDispatchMode):
    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        sizes = [part.numel() for part in tree_leaves(made) if isinstance(part, torch.Tensor)]
        self.numbers = max([self.numbers, *sizes])
        return made


for classes in (500, 1000, 2000):
    found = []
    for average in ("macro", "weighted", "none", "micro"):
        metric = MulticlassAccuracy(classes, average=average, validate_args=False)
        with Largest() as largest:
            metric.update(torch.zeros(1, classes), torch.tensor([3]))
        found.append(f"{average} {largest.numbers}")
    print(f"{classes} classes: {', '.join(found)}")
PYTHON
"$place/venv/bin/python" "$place/counts.py" > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
500 classes: macro 250000, weighted 250000, none 250000, micro 500
1000 classes: macro 1000000, weighted 1000000, none 1000000, micro 1000
2000 classes: macro 4000000, weighted 4000000, none 4000000, micro 2000
SEEN
