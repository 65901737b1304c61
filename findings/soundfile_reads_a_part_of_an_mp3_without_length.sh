#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2, in its wheel), av 18.1.0 (FFmpeg, in its wheel), numpy 2.4.6, Python 3.11
#
# Seen: MP3 without a Xing, Info or VBRI frame, as streams and recorders write it, whose first frames have a higher bit
# rate than the others: soundfile.read gives the first part of it and stops in the midst, without error or warning,
# because libsndfile takes the length for granted that libmpg123 guesses from the first frames. If the first frames have
# a lower rate, info().frames and len(SoundFile) are several times too large. So for two MP3 files put in a row,
# though each states its own length: only the first one is read, and every player plays both.
# Expected: all samples, as FFmpeg gives them.
#
# Output seen:
#   128 then 32 kbit/s: soundfile says 554230 and reads 554230, FFmpeg 884736
#   32 then 128 kbit/s: soundfile says 2222252 and reads 884736, FFmpeg 884736
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet soundfile==0.14.0 av==18.1.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - 2>/dev/null <<'PYTHON' | tee output
from pathlib import Path

import av
import numpy as np
import soundfile

rate = 44_100
tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(10 * rate) / rate)).astype(np.float32)


def encode(kbit):
    with av.open(f"{kbit}.mp3", "w", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = 1000 * kbit
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        for part in fifo.read_many(1152, partial=True):
            part.pts = None
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return Path(f"{kbit}.mp3").read_bytes()


parts = {kbit: encode(kbit) for kbit in (128, 32)}
for first, second in ((128, 32), (32, 128)):
    Path("both.mp3").write_bytes(parts[first] + parts[second])
    said, read = soundfile.info("both.mp3").frames, len(soundfile.read("both.mp3")[0])
    with av.open("both.mp3") as container:
        decoded = sum(frame.samples for frame in container.decode(audio=0))
    print(f"{first} then {second} kbit/s: soundfile says {said} and reads {read}, FFmpeg {decoded}")
PYTHON
grep -qx '128 then 32 kbit/s: soundfile says 554230 and reads 554230, FFmpeg 884736' output
grep -qx '32 then 128 kbit/s: soundfile says 2222252 and reads 884736, FFmpeg 884736' output
