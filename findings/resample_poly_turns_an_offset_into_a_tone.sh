#!/usr/bin/env bash
# scipy.signal.resample_poly turns the offset of a series into a tone: a constant does not stay one where it is made
# longer, and padtype="line" and "constant", which are meant for series that do not end at zero, change nothing of it.
#
# Version: scipy 1.17.1, numpy 2.4.6.
# Input: 1,000 samples of the constant 1000 plus a sine of amplitude 0.1, as a pressure or a position has an offset;
#   up 2, down 1.
# Seen: away from both ends, even and odd samples differ by 1.03 for the constant alone: a tone at the old Nyquist
#   frequency, five times as strong as the signal. The branches of the polyphase filter (Kaiser, beta 5) do not sum to
#   the same number, 0.9995 and 1.0005. With padtype="mean", or the mean taken off before, nothing is left of it. The
#   padding is documented for the ends alone.
# Expected: a constant from a constant; each branch normalised, as interpolation matrices have it.
# Output seen:
#   zero: tone 1.03
#   constant: tone 1.03
#   line: tone 1.03
#   mean: tone 0.00
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" scipy==1.17.1 numpy==2.4.6
cat > "$place/resample.py" <<'PYTHON'
import numpy as np
from scipy.signal import resample_poly

series = 1000 + 0.1 * np.sin(np.arange(1000) / 20)
for padding in (None, "constant", "line", "mean"):
    options = {} if padding is None else {"padtype": padding}
    longer = resample_poly(series, 2, 1, **options)[500:1500]
    straight = np.interp(np.arange(1000) / 2, np.arange(500), series[250:750])  # off by less than a thousandth here
    tone = np.abs((longer - straight).reshape(-1, 2).mean(0) @ [1, -1])
    print(f"{padding or 'zero'}: tone {tone:.2f}")
PYTHON
"$place/venv/bin/python" "$place/resample.py" | tee "$place/out"
diff "$place/out" - <<'OUT'
zero: tone 1.03
constant: tone 1.03
line: tone 1.03
mean: tone 0.00
OUT
