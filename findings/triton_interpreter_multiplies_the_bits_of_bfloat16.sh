#!/usr/bin/env bash
# Triton's interpreter, by which kernels are tried where there is no GPU, holds bfloat16 as 16-bit integers. Loads, casts
# and stores know that; tl.dot does not, and multiplies the bits as numbers, without a word: products of two matrices of
# ones are 4,228,120,576 each time. The documentation says that operations on bfloat16 are not supported; of float8, which
# is held the same way, dot makes numbers first, and it is right.
#
# Version: triton 3.7.1, torch 2.13.0, numpy 2.4.6, CPU.
# Input: a 16 x 16 matrix of ones times itself, in four types.
# Seen: an entry of the product, which is 16.
# Expected: 16, or an error.
# Output seen:
#   float32: 16
#   float16: 16
#   float8_e5m2: 16
#   bfloat16: 4228120576
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 triton==3.7.1 numpy==2.4.6
cat > "$place/product.py" <<'PYTHON'
import torch
import triton
import triton.language as tl


@triton.jit
def square(x, y, SIDE: tl.constexpr):
    at = tl.arange(0, SIDE)[:, None] * SIDE + tl.arange(0, SIDE)[None, :]
    values = tl.load(x + at)
    tl.store(y + at, tl.dot(values, values))


for kind in (torch.float32, torch.float16, torch.float8_e5m2, torch.bfloat16):
    found = torch.empty(16, 16)
    square[(1,)](torch.ones(16, 16).to(kind), found, SIDE=16)
    print(f"{str(kind)[6:]}: {found[0, 0].item():.0f}")
PYTHON
TRITON_INTERPRET=1 "$place/venv/bin/python" "$place/product.py" 2> /dev/null > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
float32: 16
float16: 16
float8_e5m2: 16
bfloat16: 4228120576
SEEN
