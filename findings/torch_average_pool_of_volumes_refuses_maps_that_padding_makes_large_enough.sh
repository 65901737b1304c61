#!/usr/bin/env bash
# torch's average pool of volumes holds the map without its padding against the window, and refuses maps that its own
# formula for the output's size allows: a clip of 2 frames, padded by 1 on either side, has 4 for a window of 3. The
# average pools of rank 1 and 2 take such a map, and so does the maximum pool of volumes with the same arguments. A
# module made of AvgPool2d by putting AvgPool3d in its place stops where clips are short, and only there.
#
# Version: torch 2.13.0, CPU.
# Input: maps of 2 positions along each axis, windows of 3, stride 1, padding 1.
# Seen: a RuntimeError by avg_pool3d alone; on the meta device it is the same.
# Expected: a map of 2 positions along each axis, as by the five others.
# Output seen:
#   avg_pool1d (1, 1, 2)
#   avg_pool2d (1, 1, 2, 2)
#   avg_pool3d refused: input image (T: 2 H: 2 W: 2) smaller than kernel size (kT: 3 kH: 3 kW: 3)
#   max_pool1d (1, 1, 2)
#   max_pool2d (1, 1, 2, 2)
#   max_pool3d (1, 1, 2, 2, 2)
#   avg_pool3d of the map padded by hand (1, 1, 2, 2, 2)
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6
cat > "$place/pools.py" <<'PYTHON'
import torch
import torch.nn.functional as F

for kind in ("avg", "max"):
    for rank in (1, 2, 3):
        name = f"{kind}_pool{rank}d"
        for device in ("meta", "cpu"):
            try:
                said = str((*getattr(F, name)(torch.ones(1, 1, *rank * [2], device=device), 3, 1, 1).shape,))
            except RuntimeError as error:
                said = f"refused: {error}"
        print(name, said)
padded = F.pad(torch.ones(1, 1, 2, 2, 2), 6 * [1])
print("avg_pool3d of the map padded by hand", (*F.avg_pool3d(padded, 3, 1).shape,))
PYTHON
"$place/venv/bin/python" "$place/pools.py" > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
avg_pool1d (1, 1, 2)
avg_pool2d (1, 1, 2, 2)
avg_pool3d refused: input image (T: 2 H: 2 W: 2) smaller than kernel size (kT: 3 kH: 3 kW: 3)
max_pool1d (1, 1, 2)
max_pool2d (1, 1, 2, 2)
max_pool3d (1, 1, 2, 2, 2)
avg_pool3d of the map padded by hand (1, 1, 2, 2, 2)
SEEN
