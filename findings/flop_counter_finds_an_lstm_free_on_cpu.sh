#!/usr/bin/env bash
# FlopCounterMode counts no operation at all for an LSTM on a CPU, and all of them for a GRU.
#
# Version: torch 2.13.0, CPU.
# Input: an LSTM and a GRU of 512 inputs and 256 units over 16 steps, and the same LSTM with oneDNN switched off.
# Seen: 0 for the LSTM, 18,874,368 for the GRU. One layer costs 2 * steps * gates * hidden * (inputs + hidden)
#   operations: 25,165,824 and 18,874,368. With oneDNN off the same layer with the same weights is counted in full: the
#   table of the counter lacks aten.mkldnn_rnn_layer. Nothing warns.
# Expected: 25,165,824 either way, or a warning that an operator was not counted.
# Output seen:
#   LSTM, oneDNN on: 0 of 25165824
#   LSTM, oneDNN off: 25165824 of 25165824
#   GRU, oneDNN on: 18874368 of 18874368
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6
"$place/venv/bin/python" - > "$place/seen" <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode

STEPS, INPUTS, HIDDEN = 16, 512, 256
for kind, gates, onednn in ((torch.nn.LSTM, 4, True), (torch.nn.LSTM, 4, False), (torch.nn.GRU, 3, True)):
    layer = kind(INPUTS, HIDDEN)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=onednn), counter:
        layer(torch.zeros(STEPS, 1, INPUTS))
    expected = 2 * STEPS * gates * HIDDEN * (INPUTS + HIDDEN)
    print(f"{kind.__name__}, oneDNN {'on' if onednn else 'off'}: {counter.get_total_flops()} of {expected}")
PYTHON
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
LSTM, oneDNN on: 0 of 25165824
LSTM, oneDNN off: 25165824 of 25165824
GRU, oneDNN on: 18874368 of 18874368
SEEN
