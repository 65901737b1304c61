#!/usr/bin/env bash
# Pillow 13.0.0, numpy 2.4.6, Python 3.11.
#
# Seen: a PNG of 48 rows whose data end after 20 (compressed data and check sums whole) is opened, decoded and
# converted without an error or a warning; the other 28 rows are black. verify() passes it too.
# Expected: "image file is truncated", as of a JPEG, a BMP or a TIFF with rows missing.
#
# Output:
#   decoded (48, 64), rows that are not black: 20
#   verify passed
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cat >"$place/look.py" <<'PY'
import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image

warnings.simplefilter("error")


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


rows = b"".join(b"\0" + bytes([200] * 64) for _ in range(20))
header = struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0)
content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
pixels = np.asarray(Image.open(io.BytesIO(content)))
print(f"decoded {pixels.shape}, rows that are not black: {int(pixels.any(1).sum())}")
Image.open(io.BytesIO(content)).verify()
print("verify passed")
PY
"$place/venv/bin/python" "$place/look.py" | tee "$place/seen"
diff "$place/seen" <(sed -n 's/^#   //p' "$0")
