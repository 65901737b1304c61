#!/usr/bin/env bash
# torch's counter of operations stops a network that runs without it: where a module hands one of its parameters, or a
# view of one, to a module within it (queries of a DETR, tokens, prompts), FlopCounterMode ends in an AttributeError in
# inference mode. Without gradients it counts with the parameter itself, and ends in an AssertionError with a view.
#
# Version: torch 2.13.0, CPU.
# Input: 4 x 8 queries, a parameter, that a module within multiplies with each other.
# Seen: what the counter says, of the parameter and of a view, in no_grad and in inference_mode.
# Expected: 256 operations each time; the network's own result is there each time.
# Output seen:
#   parameter, no_grad: 256 operations
#   parameter, inference_mode: AttributeError: 'NoneType' object has no attribute 'next_functions'
#   view, no_grad: AssertionError: Expected gradient function to be set
#   view, inference_mode: AttributeError: 'NoneType' object has no attribute 'next_functions'
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" torch==2.13.0 numpy==2.4.6
cat > "$place/counter.py" <<'PYTHON'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Within(nn.Module):
    def forward(self, x):
        return x @ x.T


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(4, 8))
        self.within = Within()

    def forward(self, what):
        return self.within(self.queries if what == "parameter" else self.queries[None][0])


for what in ("parameter", "view"):
    for mode in (torch.no_grad, torch.inference_mode):
        network = Network()
        with mode():
            assert network(what).shape == (4, 4)
            try:
                with FlopCounterMode(display=False) as counter:
                    network(what)
                said = f"{counter.get_total_flops()} operations"
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
        print(f"{what}, {mode.__name__}: {said}")
PYTHON
"$place/venv/bin/python" "$place/counter.py" 2> /dev/null > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
parameter, no_grad: 256 operations
parameter, inference_mode: AttributeError: 'NoneType' object has no attribute 'next_functions'
view, no_grad: AssertionError: Expected gradient function to be set
view, inference_mode: AttributeError: 'NoneType' object has no attribute 'next_functions'
SEEN
