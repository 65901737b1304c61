#!/usr/bin/env bash
# fightingcv-attention's DoubleAttention (A2-Nets) calls torch's softmax without saying over what. For tensors of three
# dimensions (batch, channels, positions) torch then takes the first: the attention is normalised over the samples of the
# batch, neither over positions (gathering) nor over channels (distributing), as the formula has it. What a picture
# becomes depends on the pictures beside it, also in evaluation; alone in its batch every weight is 1, and the block
# gives one and the same vector at all positions.
#
# Version: fightingcv-attention 1.0.0, torch 2.13.0, CPU, float64.
# Input: three maps of noise, (3, 8, 5, 5), the block as it is made and in evaluation mode.
# Seen: the first map's result alone and beside two others differs by more than its own size; alone, its values differ
#   between positions by nothing but rounding. torch warns once that a choice without dim is deprecated.
# Expected: a result that does not depend on the batch, and differs from position to position.
# Output seen:
#   alone and in a batch the same: False, differing by more than the largest value: True
#   alone, all positions alike to 1e-12: True
#   with weights over positions and channels, alone and in a batch the same: True, positions alike: False
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.2.6
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" --no-deps fightingcv-attention==1.0.0
cat > "$place/batch.py" <<'PYTHON'
import warnings

import torch
from fightingcv_attention.attention.A2Atttention import DoubleAttention

warnings.simplefilter("ignore")
torch.manual_seed(0)
block, x = DoubleAttention(8, 4, 4).double().eval(), torch.randn(3, 8, 5, 5, dtype=torch.float64)


def written_out(x):
    values, gather, spread = (conv(x).flatten(2) for conv in (block.convA, block.convB, block.convV))
    mixed = values @ gather.softmax(2).transpose(1, 2) @ spread.softmax(1)
    return block.conv_reconstruct(mixed.unflatten(2, x.shape[2:]))


def same(make):
    return torch.allclose(make(x[:1]), make(x)[:1])


def alike(y):
    return bool(y.flatten(2).std(2).max() < 1e-12)


with torch.no_grad():
    alone, beside = block(x[:1]), block(x)[:1]
    far = bool((alone - beside).abs().max() > beside.abs().max())
    print(f"alone and in a batch the same: {same(block)}, differing by more than the largest value: {far}")
    print(f"alone, all positions alike to 1e-12: {alike(alone)}")
    print(
        "with weights over positions and channels, alone and in a batch the same: "
        f"{same(written_out)}, positions alike: {alike(written_out(x[:1]))}"
    )
PYTHON
"$place/venv/bin/python" "$place/batch.py" > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
alone and in a batch the same: False, differing by more than the largest value: True
alone, all positions alike to 1e-12: True
with weights over positions and channels, alone and in a batch the same: True, positions alike: False
SEEN
