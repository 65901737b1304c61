#!/usr/bin/env bash
# timm's AvgPool2dSame takes count_include_pad=False and counts the padding in its means all the same: it pads the map by
# hand, after which its pool has no padding to leave out. Which pool create_pool2d makes for padding "same" depends on
# the stride: at stride 1 it is torch's, which leaves the padding out, at stride 2 it is AvgPool2dSame, which does not.
# NASNet-A large, whose weights come from a network that left it out everywhere, has both kinds side by side.
#
# Version: timm 1.0.31, torch 2.13.0, CPU.
# Input: maps of ones, (1, 1, 6, 6); a mean of ones is one wherever it is taken.
# Seen: at stride 2 means of 2/3 and 4/9 at the border; in nasnetalarge 4 of 62 average pools of 3x3 are of that kind.
# Expected: ones, as count_include_pad=False says, and as the same call gives at stride 1.
# Output seen:
#   stride 1: AvgPool2d, least mean 1.000
#   stride 2: AvgPool2dSame, least mean 0.444
#   torch, stride 2, padding 1: least mean 1.000
#   nasnetalarge: 62 average pools of 3x3 are to leave padding out, 4 of them can't
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 torchvision==0.28.0 timm==1.0.31
cat > "$place/pools.py" <<'PYTHON'
import timm
import torch
from timm.layers import AvgPool2dSame, create_pool2d
from torch import nn

ones = torch.ones(1, 1, 6, 6)
for stride in (1, 2):
    pool = create_pool2d("avg", 3, stride, count_include_pad=False, padding="same")
    print(f"stride {stride}: {type(pool).__name__}, least mean {pool(ones).min():.3f}")
pool = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
print(f"torch, stride 2, padding 1: least mean {pool(ones).min():.3f}")
with torch.device("meta"):
    network = timm.create_model("nasnetalarge")
pools = [module for module in network.modules() if isinstance(module, nn.AvgPool2d) and module.kernel_size in (3, (3, 3))]
same = [module for module in pools if isinstance(module, AvgPool2dSame)]
assert not any(module.count_include_pad for module in pools)
print(f"nasnetalarge: {len(pools)} average pools of 3x3 are to leave padding out, {len(same)} of them can't")
PYTHON
"$place/venv/bin/python" "$place/pools.py" > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
stride 1: AvgPool2d, least mean 1.000
stride 2: AvgPool2dSame, least mean 0.444
torch, stride 2, padding 1: least mean 1.000
nasnetalarge: 62 average pools of 3x3 are to leave padding out, 4 of them can't
SEEN
