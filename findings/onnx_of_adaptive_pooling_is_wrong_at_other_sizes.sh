#!/usr/bin/env bash
# torch.onnx.export of adaptive average pooling with free height and width gives a model of free height and width that is
# right at the size it was captured at and silently wrong at others.
#
# Versions: torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, Python 3.11, CPU.
# Seen: the exporter succeeds, without a warning, and the file's axes are named, not numbers. At 32×32 the output equals
#   torch's. At 41×41 it is off by a tenth of the largest value, and at 19×45 it has 4 or 6 cells and not 2×2.
#   The exported program from which the model is made is right at every size.
# Expected: the same numbers as torch at every size that the file says it takes, or a refusal to export.
# Output seen:
#   program of torch.export: 32×32 right, 41×41 right, 19×45 right
#   onnx, input axes: batch 3 height width
#   onnx: 32×32 right, 41×41 wrong, 19×45 wrong
set -euo pipefail

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" \
  torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6

cat > "$place/try.py" <<'PY'
import warnings

warnings.simplefilter("ignore")

import onnxruntime
import torch
from torch.export import Dim

SIZES = [(32, 32), (41, 41), (19, 45)]


class Pool(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


def verdicts(run):
    said = []
    for height, width in SIZES:
        x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
        try:
            given, expected = run(x), Pool()(x)
            right = given.shape == expected.shape and torch.allclose(given, expected, atol=1e-5)
        except Exception:
            right = False
        said.append(f"{height}×{width} {'right' if right else 'wrong'}")
    return ", ".join(said)


axes = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
program = torch.export.export(Pool(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=(axes,))
print("program of torch.export:", verdicts(program.module()))
dynamic = ({0: "batch", 2: "height", 3: "width"},)
made = torch.onnx.export(
    Pool(), (torch.rand(2, 3, 32, 32),), dynamo=True, dynamic_shapes=dynamic, input_names=["x"], verbose=False
)
shape = made.model_proto.graph.input[0].type.tensor_type.shape.dim
print("onnx, input axes:", *(axis.dim_param or axis.dim_value for axis in shape))
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(made.model_proto.SerializeToString(), options)
print("onnx:", verdicts(lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])))
PY

expected="program of torch.export: 32×32 right, 41×41 right, 19×45 right
onnx, input axes: batch 3 height width
onnx: 32×32 right, 41×41 wrong, 19×45 wrong"
seen=$("$place/venv/bin/python" "$place/try.py" 2> "$place/errors") || { cat "$place/errors" >&2; exit 1; }
echo "$seen"
[ "$seen" = "$expected" ]
