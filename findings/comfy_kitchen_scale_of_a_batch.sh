#!/usr/bin/env bash
# comfy-kitchen 0.2.31, QuantizedTensor.from_float on activations (eager backend, CPU)
# Expected: a row of an activation is quantized by what is in that row; batching is a matter of speed alone.
# Happens:  in the FP8 and NVFP4 layouts, and in the INT8 layout unless is_weight=False is passed, one scale is taken
#           from all rows together: another row in the batch alters the result, here by twice the largest error of
#           quantization itself. MXFP8, ConvRot W4A4 and INT8 with is_weight=False give the same bits in any company.
#           The docstring of the INT8 layout speaks of per-row scales for activations; its default does not give them.
# Hurts:    whoever quantizes activations without a calibrated scale and batches prompts or CFG pairs: a prediction
#           depends on its neighbours, so that the same seed and prompt give another picture in another batch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 packaging==26.4 comfy-kitchen==0.2.31

OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from comfy_kitchen.tensor import QuantizedTensor

print("comfy-kitchen", version("comfy-kitchen"), "torch", torch.__version__)
torch.manual_seed(0)
rows = torch.randn(16, 256, dtype=torch.bfloat16)
batch = torch.cat([rows, 3 * torch.randn(16, 256, dtype=torch.bfloat16)])


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.float() - b.float()).abs().max().item()


SHARED = [("TensorCoreFP8Layout", {}), ("TensorCoreNVFP4Layout", {}), ("TensorWiseINT8Layout", {})]
APART = [
    ("TensorCoreMXFP8Layout", {}), ("TensorCoreConvRotW4A4Layout", {}), ("TensorWiseINT8Layout", {"is_weight": False}),
]
print("values of 16 rows, alone and beside 16 rows that are three times as large:")
for layout, options in SHARED + APART:
    alone = QuantizedTensor.from_float(rows, layout, **options).dequantize()
    beside = QuantizedTensor.from_float(batch, layout, **options).dequantize()[:16]
    change = largest(alone, beside)
    print(f"  {layout}{options or ''}: differ by {change:.3f}; error of quantization alone {largest(alone, rows):.3f}")
    assert (change > 0.01) == ((layout, options) in SHARED) and (change > 0.01 or change == 0)

weight = QuantizedTensor.from_float(0.05 * torch.randn(256, 256, dtype=torch.bfloat16), "TensorCoreFP8Layout")
linear = torch.nn.functional.linear
alone = linear(QuantizedTensor.from_float(rows, "TensorCoreFP8Layout"), weight)
beside = linear(QuantizedTensor.from_float(batch, "TensorCoreFP8Layout"), weight)[:16]
print(f"an FP8 linear layer of the same rows: differs by {largest(alone, beside):.3f}")
print(f"the same layer on activations that stay bfloat16: {largest(linear(rows, weight), linear(batch, weight)[:16])}")
assert largest(alone, beside) > 0.01
PYTHON
