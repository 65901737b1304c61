#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2, in its wheel), numpy 2.4.6, Python 3.11
#
# Seen: an MP3 file of a steady tone that is read in blocks (soundfile.blocks, or read(n) again and again, which is the
# documented way for files that do not fit in memory) gives other samples than the same file read at once: with blocks of
# 1,000, 98 % of all samples differ, by up to the amplitude of the tone. So does one seek in front of one read.
# soundfile seeks after every read, and a seek of an MP3 starts decoding without the bits that earlier frames hold for
# later ones. Numbers of samples are right and nothing is said (but for lines on stderr of libmpg123, with some files).
# Expected: the same samples, to rounding, as FLAC and Opus give.
#
# Output seen:
#   flac: blocks 0 of 132300 differ, largest 0.0; seeks 0 of 20 wrong
#   mp3: blocks 129448 of 132300 differ, largest 0.5; seeks 20 of 20 wrong
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet soundfile==0.14.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - 2>/dev/null <<'PYTHON' | tee output
import numpy as np
import soundfile

rate = 22_050
tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(6 * rate) / rate)).astype(np.float32)
for kind in ("flac", "mp3"):
    soundfile.write(f"a.{kind}", tone, rate)
    whole, _ = soundfile.read(f"a.{kind}", dtype="float32")
    blocks = np.concatenate(list(soundfile.blocks(f"a.{kind}", 1000, dtype="float32")))
    assert len(blocks) == len(whole) == len(tone)
    apart = np.abs(blocks - whole)
    wrong = 0
    for start in range(10_000, 110_000, 5_000):
        stretch, _ = soundfile.read(f"a.{kind}", 1000, start, dtype="float32")
        wrong += bool(np.abs(stretch - whole[start : start + 1000]).max() > 0.01)
    differing = int((apart > 1e-4).sum())
    print(f"{kind}: blocks {differing} of {len(tone)} differ, largest {apart.max():.1f}; seeks {wrong} of 20 wrong")
PYTHON
grep -qx 'flac: blocks 0 of 132300 differ, largest 0.0; seeks 0 of 20 wrong' output
grep -Eqx 'mp3: blocks 1[0-9]{5} of 132300 differ, largest 0.[45]; seeks (1[5-9]|20) of 20 wrong' output
