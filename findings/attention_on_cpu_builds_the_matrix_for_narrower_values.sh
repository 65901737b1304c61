#!/usr/bin/env bash
# scaled_dot_product_attention on a CPU builds the N x N matrix, without a word, as soon as values have fewer channels
# than queries; padding the values with zeros gives the same answer in a fiftieth of the memory.
#
# Version: torch 2.13.0, CPU.
# Input: queries and keys (1, 4, 4096, 64), values (1, 4, 4096, 16), float32, without gradients; one process each.
# Seen: the memory of the process grows by about 590 MiB, two matrices of 4 x 4096 x 4096 floats and more. With the
#   values padded from 16 to 64 channels, and the answer cut back to 16, it grows by about 12 MiB. Attention with scores
#   from elsewhere (positions) folded into longer queries and keys meets this: its values stay as they are.
# Expected: the fused kernel, or a warning that it is not used.
# Output seen:
#   narrow values: more than 256 MiB
#   padded values: less than 64 MiB
#   the same answer: True
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6
cat > "$place/attend.py" <<'PYTHON'
import resource
import sys

import torch
import torch.nn.functional as F

generator = torch.Generator().manual_seed(0)
query, key = (torch.randn(1, 4, 4096, 64, generator=generator) for _ in range(2))
value = torch.randn(1, 4, 4096, 16, generator=generator)
F.scaled_dot_product_attention(*(x[:, :, :8] for x in (query, key, value)))  # what a first call loads does not count


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


before = peak()
if sys.argv[1] == "narrow":
    answer = F.scaled_dot_product_attention(query, key, value)
else:
    answer = F.scaled_dot_product_attention(query, key, F.pad(value, (0, 48)))[..., :16]
grown = peak() - before
size = "more than 256 MiB" if grown > 256 else "less than 64 MiB" if grown < 64 else f"{grown:.0f} MiB"
print(f"{sys.argv[1]} values: {size}")
torch.save(answer, sys.argv[2])
PYTHON
{
  for way in narrow padded; do "$place/venv/bin/python" "$place/attend.py" "$way" "$place/$way.pt"; done
  "$place/venv/bin/python" -c "
import torch
one, other = (torch.load(f'$place/{way}.pt') for way in ('narrow', 'padded'))
print('the same answer:', bool((one - other).abs().max() < 1e-5))"
} > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
narrow values: more than 256 MiB
padded values: less than 64 MiB
the same answer: True
SEEN
