#!/usr/bin/env bash
# scaled_dot_product_attention on a CPU answers exactly whatever the size of its scores, but the gradient of its values
# loses a digit for each digit that the scores gain: half a per cent at 10^4, half of it at 10^6, a thousand times too
# large at 10^7. The same call without the fused kernel stays exact.
#
# Version: torch 2.13.0, CPU.
# Input: queries, keys, values and an upstream gradient (1, 1, 64, 32), standard normal, float32; queries and keys times
#   the root of a scale, which is then the size of the scores (some large vision transformers report 5 * 10^4).
# Seen: against float64, relative to its largest entry, the answer is off by 0 and the gradient of the values by 0.0045,
#   0.57 and 1000 for scales of 10^4, 10^6 and 10^7; by the kernel called MATH, by less than 10^-6 for all three. The
#   gradient of a value is a sum of upstream gradients with weights that add up to one for each query, so that factors of
#   a thousand can't come from the mathematics. The fused backward computes the weights anew as exp(score - log of sum),
#   a difference of two numbers as large as the scores, whose rounding is then an exponent.
# Expected: an error near float32's rounding, as in the forward pass.
# Output seen:
#   scores of 1e+04: answer right, gradient of values off by 0.1 to 1 per cent, without the fused kernel right
#   scores of 1e+06: answer right, gradient of values off by 10 to 100 per cent, without the fused kernel right
#   scores of 1e+07: answer right, gradient of values off by more than 100 times, without the fused kernel right
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6
cat > "$place/attend.py" <<'PYTHON'
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

generator = torch.Generator().manual_seed(0)
queries, keys, values, upstream = (torch.randn(1, 1, 64, 32, generator=generator) for _ in range(4))


def attend(scale, dtype, backend):
    q, k = (x.to(dtype) * scale**0.5 for x in (queries, keys))
    v = values.to(dtype, copy=True).requires_grad_()
    with sdpa_kernel(backend):
        answer = F.scaled_dot_product_attention(q.requires_grad_(), k.requires_grad_(), v)
    answer.backward(upstream.to(dtype))
    return answer.detach(), v.grad.detach()


def off(one, exact):
    return float((one - exact).detach().abs().max() / exact.detach().abs().max())


def size(error):
    if error < 1e-6:
        return "right"
    ranges = ((1e-3, 1e-2, "off by 0.1 to 1 per cent"), (0.1, 1, "off by 10 to 100 per cent"))
    named = [text for low, high, text in ranges if low < error < high]
    return named[0] if named else "off by more than 100 times" if error > 100 else f"off by {error:.1e}"


for scale in (1e4, 1e6, 1e7):
    # scores as float32 has them, all else in float64
    exact = (queries * scale**0.5).double() @ (keys * scale**0.5).double().transpose(2, 3) * 32**-0.5
    weights = exact.softmax(-1)
    answer, slope = weights @ values.double(), weights.transpose(2, 3) @ upstream.double()
    (fused, of_fused), (_, of_plain) = (
        attend(scale, torch.float32, backend) for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH)
    )
    right = "right" if off(fused, answer) < 1e-6 else "wrong"
    print(
        f"scores of {scale:.0e}: answer {right}, gradient of values {size(off(of_fused, slope))},"
        f" without the fused kernel {size(off(of_plain, slope))}"
    )
PYTHON
"$place/venv/bin/python" "$place/attend.py" > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
scores of 1e+04: answer right, gradient of values off by 0.1 to 1 per cent, without the fused kernel right
scores of 1e+06: answer right, gradient of values off by 10 to 100 per cent, without the fused kernel right
scores of 1e+07: answer right, gradient of values off by more than 100 times, without the fused kernel right
SEEN
