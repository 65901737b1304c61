#!/usr/bin/env bash
# torch.fft on a CPU fails for a batch of no samples, with a message of MKL that names neither the batch nor the shape;
# convolutions of torch and NumPy's transforms give an empty result of the right shape.
#
# Version: torch 2.13.0, CPU.
# Input: zeros of shape (0, 3, 8, 8), as the last shard of an uneven evaluation or a filtered batch makes them.
# Seen: fft, rfft, fft2 and rfft2 raise RuntimeError, "MKL FFT error: ... Inconsistent configuration parameters".
#   A network with a spectral filter so fails where the same network with a convolution does not.
# Expected: an empty result, or an error that names the size.
# Output seen:
#   numpy rfft2: (0, 3, 8, 5)
#   conv2d: (0, 3, 6, 6)
#   fft: MKL FFT error
#   rfft: MKL FFT error
#   fft2: MKL FFT error
#   rfft2: MKL FFT error
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6
cat > "$place/transform.py" <<'PYTHON'
import numpy as np
import torch
import torch.nn.functional as F

nothing = torch.zeros(0, 3, 8, 8)
print("numpy rfft2:", np.fft.rfft2(nothing.numpy()).shape)
print("conv2d:", tuple(F.conv2d(nothing, torch.ones(3, 1, 3, 3), groups=3).shape))
for name in ("fft", "rfft", "fft2", "rfft2"):
    try:
        print(f"{name}:", tuple(getattr(torch.fft, name)(nothing).shape))
    except RuntimeError as error:
        print(f"{name}:", str(error).partition(":")[0])
PYTHON
"$place/venv/bin/python" "$place/transform.py" | tee "$place/seen"
diff <(sed -n 's/^#   \(numpy rfft2:\|conv2d:\|r\?fft2\?:\)/\1/p' "$0") "$place/seen"
