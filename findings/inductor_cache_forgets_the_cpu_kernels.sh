#!/usr/bin/env bash
# A function compiled by inductor for AVX-512 comes out of the cache on disk in a process that runs AVX2 kernels, and
# there leaves half of its output unwritten.
#
# Version: torch 2.13.0, CPU; needs g++ and a processor with AVX-512.
# Input: relu(x) + 1 of 0, 1 … 1023, compiled in three processes that share one cache folder: ATEN_CPU_CAPABILITY is
#   avx512 in the first, avx2 in the second, default in the third. A fourth has a cache folder of its own.
# Seen: the second process gives 512 of 1,024 values wrong (memory that nobody wrote), without a warning; the third ends
#   in a C++ compile error. The cached graph holds the source for vectors of 16 floats, its key does not say so, and the
#   source is compiled anew with the flags of the process. So a cache folder shared by unlike processors is not safe.
#   With torch.compiler.config.cache_key_tag set to torch.backends.cpu.get_cpu_capability(), all are right.
# Expected: 0 wrong in each.
# Output seen:
#   AVX512, first: 0 wrong
#   AVX2, the same folder: 512 wrong
#   DEFAULT, the same folder: BackendCompilerFailed
#   AVX2, a folder of its own: 0 wrong
#   AVX2, the same folder, capability in the key: 0 wrong
set -euo pipefail
grep -q avx512f /proc/cpuinfo || { echo "needs a processor with AVX-512" >&2; exit 2; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6 setuptools==80.9.0
cat > "$place/compiled.py" <<'PYTHON'
import sys

import torch

capability = torch.backends.cpu.get_cpu_capability()
if len(sys.argv) > 2:
    torch.compiler.config.cache_key_tag = capability
x = torch.arange(1024.0)
try:
    y = torch.compile(lambda x: x.relu() + 1)(x)
    print(f"{capability}, {sys.argv[1]}: {(y != x + 1).sum()} wrong")
except Exception as error:
    print(f"{capability}, {sys.argv[1]}: {type(error).__name__}")
PYTHON
compiled() {
  ATEN_CPU_CAPABILITY=$1 TORCHINDUCTOR_CACHE_DIR=$place/$2 "$place/venv/bin/python" "$place/compiled.py" "${@:3}" 2>> "$place/log"
}
{
  compiled avx512 shared "first"
  compiled avx2 shared "the same folder"
  compiled default shared "the same folder"
  compiled avx2 own "a folder of its own"
  compiled avx2 shared "the same folder, capability in the key" tagged
} > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
AVX512, first: 0 wrong
AVX2, the same folder: 512 wrong
DEFAULT, the same folder: BackendCompilerFailed
AVX2, a folder of its own: 0 wrong
AVX2, the same folder, capability in the key: 0 wrong
SEEN
