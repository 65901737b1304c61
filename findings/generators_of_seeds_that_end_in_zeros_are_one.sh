#!/usr/bin/env bash
# numpy 2.4.6, Python 3.11, Linux x86-64
#
# numpy.random.default_rng takes a list of whole numbers as a seed, which is how one stream for each of (seed, epoch) and
# one for each of (seed, epoch, sample) are made.
#
# Seen: a list and the same list with zeros behind it, up to four numbers, are one seed: the stream of (3, 7) is that of
# (3, 7, 0) and of (3, 7, 0, 0), number for number. SeedSequence fills its pool of four words with zeros. A fifth number
# makes a difference, and so does a zero in front; SeedSequence with a spawn_key is another stream.
# Expected: lists that differ are seeds that differ, as 3 and 4 are.
#
# Output seen:
#   [3, 7] is [3, 7, 0]: True
#   [3, 7] is [3, 7, 0, 0]: True
#   [3, 7] is [3, 7, 0, 0, 0]: False
#   [3, 7] is [0, 3, 7]: False
#   [3, 7] is [3] with spawn_key (7,): False
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON' | tee output
import numpy as np


def stream(seed):
    return np.random.default_rng(seed).integers(0, 2**63, 8).tolist()


for other in ([3, 7, 0], [3, 7, 0, 0], [3, 7, 0, 0, 0], [0, 3, 7]):
    print(f"[3, 7] is {other}: {stream([3, 7]) == stream(other)}")
spawned = np.random.SeedSequence([3], spawn_key=(7,))
print(f"[3, 7] is [3] with spawn_key (7,): {stream([3, 7]) == stream(spawned)}")
PYTHON
diff output - <<'EXPECTED'
[3, 7] is [3, 7, 0]: True
[3, 7] is [3, 7, 0, 0]: True
[3, 7] is [3, 7, 0, 0, 0]: False
[3, 7] is [0, 3, 7]: False
[3, 7] is [3] with spawn_key (7,): False
EXPECTED
