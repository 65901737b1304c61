#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93, numpy 2.4.6, Python 3.11.
#
# Seen: cv2.split gives a float picture of 128 bands back as 128 maps; of 129, as hyperspectral cameras have, it gives
# one "map" that is the whole picture, (H, W, 129), without an error. resize and flip of the same array refuse it.
# Expected: 129 maps (H, W), or an error as from the others.
#
# Output:
#   128 bands: 128 pieces of (4, 5), resize (8, 10, 128), flip (4, 5, 128)
#   129 bands: 1 pieces of (4, 5, 129), resize error, flip error
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
cat >"$place/look.py" <<'PY'
import cv2
import numpy as np


def tried(function, *arguments):
    try:
        return function(*arguments).shape
    except cv2.error:
        return "error"


for bands in (128, 129):
    picture = np.arange(4 * 5 * bands, dtype=np.float32).reshape(4, 5, bands)
    pieces = cv2.split(picture)
    sizes = f"resize {tried(cv2.resize, picture, (10, 8))}, flip {tried(cv2.flip, picture, 1)}"
    print(f"{bands} bands: {len(pieces)} pieces of {pieces[0].shape}, {sizes}")
PY
"$place/venv/bin/python" "$place/look.py" | tee "$place/seen"
diff "$place/seen" <(sed -n 's/^#   //p' "$0")
