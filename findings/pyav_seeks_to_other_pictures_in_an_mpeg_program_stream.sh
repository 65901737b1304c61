#!/usr/bin/env bash
# PyAV 18.1.0 (with the FFmpeg in its wheel), numpy 2.4.6, Python 3.11.
#
# Input: 48 pictures, each brighter than the one before, in MPEG-2 with two B-frames and a key frame every 12; once as a
# program stream (.mpg), once as Matroska. Each is asked for by the time that decoding from the start gives it.
# Seen: seeking to a picture's own time and decoding up to that time gives another picture, for some of those in the
# program stream, without an error. In Matroska, which has an index, never.
# Expected: the picture of that time, or an error.
#
# Output:
#   mpeg: 6 of 48 are other pictures
#   matroska: 0 of 48 are other pictures
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat >"$place/look.py" <<'PY'
import av
import numpy as np

PICTURES = 48


def write(path, kind):
    with av.open(path, "w", format=kind) as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"g": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.max_b_frames = 2
        for number in range(PICTURES):
            picture = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 20 + 4 * number, np.uint8), format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def light(picture):
    return float(picture.to_ndarray(format="gray").mean())


for kind in ("mpeg", "matroska"):
    write(kind, kind)
    with av.open(kind) as container:
        shown = [(picture.pts, light(picture)) for picture in container.decode(video=0)]
    others = 0
    with av.open(kind) as container:
        stream = container.streams.video[0]
        for time, wanted in shown:
            container.seek(time, stream=stream)
            found = next((light(picture) for picture in container.decode(stream) if picture.pts >= time), None)
            others += found is None or abs(found - wanted) > 1.5
    print(f"{kind}: {others} of {len(shown)} are other pictures")
PY
(cd "$place" && venv/bin/python look.py) | tee "$place/seen"
diff "$place/seen" <(sed -n 's/^#   //p' "$0")
