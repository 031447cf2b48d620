#!/usr/bin/env python3
"""Write golden.bin: random blocks of every weight type with their values, as the
reference implementation (package gguf 0.17 or later of PyPI, gguf.quants) unpacks them.

A section per type: name (8 bytes, zero-padded), u32 blocks, u32 bytes of packed data,
the packed data, the values as f32. test/engine/test_dequant.c reads it.
"""
import struct
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

rng = np.random.default_rng(20)
# offsets of the f16 scales in a block
SCALES = {T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
# subnormal, negative, zero, large
ODD = [6.0e-8, -0.03125, 0.0, 1000.0]

with open("golden.bin", "wb") as out:
    for kind in [T.F32, T.F16, T.BF16, *SCALES]:
        elements, size = GGML_QUANT_SIZES[kind]
        blocks = {1: 256, 32: 8, 256: 4}[elements]
        packed = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
        if kind == T.F32:
            packed = rng.normal(size=blocks).astype("<f4").view(np.uint8).reshape(blocks, 4)
        elif kind == T.F16:     # every exponent; infinities, NaN and both zeros at the end
            halves = (np.arange(blocks) * 257 % 65536).astype("<u2")
            halves[-5:] = [0x7C00, 0xFC00, 0x7E00, 0x0000, 0x8000]
            packed = halves.view(np.uint8).reshape(blocks, 2)
        for at in SCALES.get(kind, []):
            scales = rng.normal(scale=0.05, size=blocks).astype("<f2")
            scales[:4] = np.roll(np.array(ODD, "<f2"), at // 2 % 4)
            packed[:, at:at + 2] = scales.view(np.uint8).reshape(blocks, 2)
        if kind == T.F32:
            values = packed.reshape(-1).view("<f4")
        elif kind == T.F16:
            values = packed.reshape(-1).view("<f2").astype("<f4")
        else:
            values = dequantize(packed, kind).reshape(-1).astype("<f4")
        assert values.size == blocks * elements
        out.write(struct.pack("<8sII", kind.name.encode(), blocks, packed.size))
        out.write(packed.tobytes() + values.tobytes())
