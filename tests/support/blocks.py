#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""blocks.py OUT.safetensors: random blocks of every type and what gguf's own Python package (0.19) makes of them."""
import sys

import numpy as np
from gguf import GGMLQuantizationType as types
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

random = np.random.default_rng(20261124)
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def blocks(name):
    """Every bit random but those of the halves, which are finite: of any size, subnormal, negative, zero."""
    values, size = GGML_QUANT_SIZES[types[name]]
    count = 1024 // values
    data = random.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[name]:
        half = (random.standard_normal(count) * 10.0 ** random.uniform(-7, 3, count)).astype(np.float16)
        half[:3] = [0, -0.0, 6e-8]
        data[:, at:at + 2] = half.view(np.uint8).reshape(-1, 2)
    return data


out = {}
for name in HALVES:
    data = blocks(name)
    out[name.lower() + ".blocks"] = data
    out[name.lower() + ".values"] = dequantize(data.reshape(1, -1), types[name]).reshape(-1)

values = (random.standard_normal((64, 32)) * 10.0 ** random.uniform(-6, 4, (64, 1))).astype(np.float32)
values[0] = 0
values[1] = -0.0
values[2] = np.linspace(-127, 127, 32)             # halves between two levels
values[3] = np.tile([1, -1], 16)                   # equal magnitudes: the first decides
values[4] = np.tile([-1, 1], 16)
values[5] = np.arange(32) / 2
values[6] = np.arange(32) * 1e-7                   # the scale is subnormal as a half
values[7] = np.tile([3e-37, -1e-37], 16)           # the reciprocal of the scale is huge but finite
out["values"] = values.reshape(-1)
for name in ("Q8_0", "Q4_0"):
    with np.errstate(all="ignore"):
        out[name.lower() + ".encoded"] = quantize(values.reshape(1, -1), types[name]).reshape(-1)
save_file(out, sys.argv[1])
