#!/usr/bin/env bash
# mmsegmentation 1.2.2, mmcv-lite 2.1.0, mmengine 0.10.7, torch 2.13.0, Python 3.11.
#
# Seen: a label of 255 is to be ignored (the default ignore_index of every loss and head). Of an ignored pixel
# - DiceLoss depends on the logits there, and has a gradient there: its probabilities count as false;
# - LovaszLoss gives NaN for a batch without a labelled pixel, which padding and unlabelled regions make;
# - CrossEntropyLoss with class_weight raises IndexError: it looks up the weight of class 255.
# CrossEntropyLoss without weights and TverskyLoss do ignore.
# Expected: the loss does not change with what is said of ignored pixels, the gradient there is zero, and a batch
# without a labelled pixel gives zero.
#
# Output:
#   CrossEntropyLoss: changes False, gradient at ignored False, all ignored finite
#   TverskyLoss: changes False, gradient at ignored False, all ignored finite
#   DiceLoss: changes True, gradient at ignored True, all ignored finite
#   LovaszLoss: changes False, gradient at ignored False, all ignored nan
#   CrossEntropyLoss with class_weight: IndexError
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check uv
VIRTUAL_ENV="$place/venv" "$place/venv/bin/uv" pip install --quiet torch==2.13.0 numpy==2.4.6 mmengine==0.10.7 \
    mmcv-lite==2.1.0 mmsegmentation==1.2.2 ftfy regex scipy setuptools==80.9.0
cat >"$place/look.py" <<'PY'
import importlib.machinery
import sys
import types
import warnings

warnings.simplefilter("ignore")
# mmcv-lite has no compiled operators, and mmsegmentation imports some that these losses do not use.
empty = types.ModuleType("mmcv._ext")
empty.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)
empty.__getattr__ = lambda name: (lambda *_: None) if not name.startswith("__") else None
sys.modules["mmcv._ext"] = empty

import torch
from mmseg.models.losses import CrossEntropyLoss, DiceLoss, LovaszLoss, TverskyLoss

torch.manual_seed(0)
logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
labels[:, :3] = 255
other = logits.clone()
other[:, :, :3] += 3 * torch.randn(2, 3, 3, 8)
logits.requires_grad_()
for loss in (CrossEntropyLoss(), TverskyLoss(), DiceLoss(), LovaszLoss(reduction="none")):
    ask = lambda x, y: loss(x, y, weight=None, ignore_index=255).mean()
    value = ask(logits, labels)
    (gradient,) = torch.autograd.grad(value, logits)
    changes = not torch.allclose(value, ask(other, labels), atol=1e-6)
    nothing = ask(logits, torch.full_like(labels, 255))
    print(
        f"{type(loss).__name__}: changes {changes}, gradient at ignored {bool(gradient[:, :, :3].any())}, "
        f"all ignored {'finite' if nothing.isfinite() else 'nan'}"
    )
try:
    CrossEntropyLoss(class_weight=[1.0, 2.0, 3.0])(logits, labels, ignore_index=255)
except IndexError as error:
    print("CrossEntropyLoss with class_weight:", type(error).__name__)
PY
"$place/venv/bin/python" "$place/look.py" | tee "$place/seen"
diff "$place/seen" <(sed -n 's/^#   //p' "$0")
