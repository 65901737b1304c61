#!/usr/bin/env bash
# fightingcv-attention's MUSEAttention puts the softmax of the three weights of its convolutions in their own place, as a
# new parameter, at every forward pass. An optimiser that was made before holds the old one: these weights never train.
# And since a softmax of a softmax is flatter, each pass takes what was loaded nearer to one third each, in evaluation
# and without gradients too: the same input gives another output at each call.
#
# Version: fightingcv-attention 1.0.0, torch 2.13.0, CPU.
# Input: noise (2, 7, 16) as queries, keys and values.
# Seen: after ten steps of SGD at a rate of 1 the weights are one third each, and the optimiser does not hold them; loaded
#   as 3, 0, -3 they are 0.950, 0.558, 0.412 … after each of three passes in evaluation, whose outputs differ.
# Expected: a forward pass in evaluation changes no weight; training changes those that the loss depends on.
# Output seen:
#   after training: 0.333 0.333 0.333, held by the optimiser: False
#   in evaluation: 0.950 0.047 0.002, then 0.558 0.226 0.216, then 0.412 0.296 0.293
#   three outputs of one input are the same: False
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.2.6
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" --no-deps fightingcv-attention==1.0.0
cat > "$place/weights.py" <<'PYTHON'
import torch
from fightingcv_attention.attention.MUSEAttention import MUSEAttention

torch.manual_seed(0)
block, x = MUSEAttention(d_model=16, d_k=16, d_v=16, h=2), torch.randn(2, 7, 16)
optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
for _ in range(10):
    optimizer.zero_grad()
    block(x, x, x).square().mean().backward()
    optimizer.step()


def weights():
    return " ".join(f"{value:.3f}" for value in block.dy_paras.tolist())


held = any(p is block.dy_paras for group in optimizer.param_groups for p in group["params"])
print(f"after training: {weights()}, held by the optimiser: {held}")
block.eval().load_state_dict({**block.state_dict(), "dy_paras": torch.tensor([3.0, 0.0, -3.0])})
seen, outputs = [], []
with torch.no_grad():
    for _ in range(3):
        outputs.append(block(x, x, x))
        seen.append(weights())
print(f"in evaluation: {', then '.join(seen)}")
print(f"three outputs of one input are the same: {all(torch.allclose(outputs[0], each) for each in outputs[1:])}")
PYTHON
"$place/venv/bin/python" "$place/weights.py" > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
after training: 0.333 0.333 0.333, held by the optimiser: False
in evaluation: 0.950 0.047 0.002, then 0.558 0.226 0.216, then 0.412 0.296 0.293
three outputs of one input are the same: False
SEEN
