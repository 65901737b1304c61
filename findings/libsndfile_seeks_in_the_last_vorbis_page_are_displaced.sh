#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2, in its wheel), numpy 2.4.6, Python 3.11
#
# Seen: in an Ogg Vorbis file, a seek to a place in the last page (of 64 KB at most: here the last third of six seconds,
# of speech at low rates more) gives the samples of another place, a constant number of samples later; tell() says that
# it is where it was asked to be. The number is what the end of the stream was cut by, for the last block of Vorbis is
# rarely full: libsndfile counts that page's samples back from its end as if the block were whole. Before the last page
# every seek is right.
# Expected: read(start=a) equals read()[a:].
#
# Output seen:
#   0 of 100 seeks before the last page are wrong, 40 of 40 in it: displaced by [192]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet soundfile==0.14.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - 2>/dev/null <<'PYTHON' | tee output
import re

import numpy as np
import soundfile

rate = 16_000
noise = (0.2 * np.random.default_rng(0).standard_normal(52_800)).astype(np.float32)
soundfile.write("a.ogg", noise, rate)
whole, _ = soundfile.read("a.ogg", dtype="float32")
content = open("a.ogg", "rb").read()
ends = [int.from_bytes(page[1], "little") for page in re.finditer(rb"OggS\0.(.{8})", content, re.S)]
last = ends[-2]  # the sample that the last page starts at


def displaced(start):
    found, _ = soundfile.read("a.ogg", 500, start, dtype="float32")
    places = np.lib.stride_tricks.sliding_window_view(whole, len(found))
    return int(np.abs(places - found).max(1).argmin()) - start


before = [displaced(start) for start in np.linspace(0, last - 1, 100).astype(int).tolist()]
inside = [displaced(start) for start in np.linspace(last + 600, len(whole) - 1000, 40).astype(int).tolist()]
wrong = [sum(map(bool, found)) for found in (before, inside)]
print(f"{wrong[0]} of 100 seeks before the last page are wrong, {wrong[1]} of 40 in it: displaced by {sorted(set(inside))}")
PYTHON
grep -Eqx '0 of 100 seeks before the last page are wrong, 40 of 40 in it: displaced by \[[1-9][0-9]*\]' output
