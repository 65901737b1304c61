#!/usr/bin/env bash
# torch 2.13.0 (CPU), numpy 2.4.6, Python 3.11, Linux x86-64
#
# torch.optim.swa_utils has the exponential moving average twice: get_ema_avg_fn(d) and, for all tensors at once, get_ema_multi_avg_fn(d).
# With use_buffers=True, where a network keeps an attention mask as a buffer, 0
# where positions see each other and -inf where not, they are not the same average.
#
# Seen: the mask never changes. d * -inf + (1 - d) * -inf is -inf; the other one is torch._foreach_lerp_, a + w * (b - a),
# and -inf - -inf is not a number. From the second update on every output of the averaged network is nan, without a
# word; the network in training is all right. A negative zero loses its sign the same way.
# Expected: the average of a value with itself is that value, by either function.
#
# Output seen:
#   get_ema_avg_fn: mask [0.0, -inf], zero -0.0, output finite True
#   get_ema_multi_avg_fn: mask [0.0, nan], zero 0.0, output finite False
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON' | tee output
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn


class Attention(nn.Module):
    """Two positions, of which the first sees itself alone."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("mask", torch.tensor([[0.0, -torch.inf], [0.0, 0.0]]))
        self.register_buffer("zero", torch.tensor(-0.0))

    def forward(self, x):
        return (self.layer(x) + self.mask).softmax(-1) @ x + self.zero


torch.manual_seed(0)
for name, option in (("get_ema_avg_fn", "avg_fn"), ("get_ema_multi_avg_fn", "multi_avg_fn")):
    make = {"avg_fn": get_ema_avg_fn, "multi_avg_fn": get_ema_multi_avg_fn}[option]
    network = Attention()
    average = AveragedModel(network, use_buffers=True, **{option: make(0.9)})
    for step in range(3):
        average.update_parameters(network)
    seen = average.module
    finite = bool(average(torch.randn(2, 2)).isfinite().all())
    print(f"{name}: mask {seen.mask[0].tolist()}, zero {seen.zero.item()}, output finite {finite}")
PYTHON
grep -qx 'get_ema_avg_fn: mask \[0.0, -inf\], zero -0.0, output finite True' output
grep -qx 'get_ema_multi_avg_fn: mask \[0.0, nan\], zero 0.0, output finite False' output
