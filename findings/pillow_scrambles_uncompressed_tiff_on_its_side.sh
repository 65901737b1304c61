#!/usr/bin/env bash
# Pillow 13.0.0, numpy 2.4.6, Python 3.11.
#
# Seen: an uncompressed 8- or 16-bit grey TIFF with an orientation tag of 5 to 8, opened by its name, comes out with
# its pixels in the wrong places: Pillow maps the file into memory by the size it has after the turn, and then turns.
# The same bytes opened as a file object, which are not mapped, come out right, as do compressed and colour TIFF files.
# After load() the reported size is that of the picture as stored, not as turned.
# Expected: the same pixels both ways: numpy.rot90(stored, -1) for tag 6.
#
# Output:
#   stored:              [[0, 1, 2], [3, 4, 5]]
#   by file object:      [[3, 0], [4, 1], [5, 2]]
#   by name:             [[4, 2, 0], [5, 3, 1]]
#   by name, compressed: [[3, 0], [4, 1], [5, 2]]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cat >"$place/look.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
from PIL import Image

folder = Path(sys.argv[1])
stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
exif = Image.Exif()
exif[0x0112] = 6
Image.fromarray(stored).save(folder / "plain.tif", exif=exif)
Image.fromarray(stored).save(folder / "packed.tif", exif=exif, compression="tiff_lzw")
print("stored:             ", stored.tolist())
with open(folder / "plain.tif", "rb") as file:
    print("by file object:     ", np.asarray(Image.open(file)).tolist())
print("by name:            ", np.asarray(Image.open(folder / "plain.tif")).tolist())
print("by name, compressed:", np.asarray(Image.open(folder / "packed.tif")).tolist())
PY
"$place/venv/bin/python" "$place/look.py" "$place" | tee "$place/seen"
diff "$place/seen" <(sed -n 's/^#   //p' "$0")
