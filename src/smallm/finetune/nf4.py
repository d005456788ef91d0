"""What NF4 with double quantisation makes of a matrix: the base that a QLoRA was trained on, in a merge's arithmetic.

The same products as bitsandbytes' Params4bit, in pieces: rounding 50 million weights at once would take 1.5 GB.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from smallm.core.errors import UserError

BLOCK, STATISTICS_BLOCK = 64, 256
PIECE = 1 << 20  # a multiple of BLOCK; rounding takes some 25 bytes an element


def dequantised(weight: Tensor, dtype: torch.dtype, compute: torch.dtype) -> Tensor:
    """float32 of the matrix as training multiplied it: `weight` in `dtype`, rounded to NF4, decoded in `compute`."""
    functional = _bitsandbytes()
    flat = weight.reshape(-1)
    codes: list[Tensor] = []
    largest: list[Tensor] = []
    for piece in flat.split(PIECE):
        code, absmax = torch.ops.bitsandbytes.quantize_4bit.default(piece.to(dtype), BLOCK, "nf4", torch.uint8)
        codes.append(code)
        largest.append(absmax)
    absmax = torch.cat(largest)
    offset = absmax.mean()
    rounded, state = functional.quantize_blockwise(absmax - offset, blocksize=STATISTICS_BLOCK)
    absmax = functional.dequantize_blockwise(rounded, state).float() + offset
    out = torch.empty(flat.shape, dtype=torch.float32)
    at = 0
    for code, piece in zip(codes, out.split(PIECE), strict=True):
        blocks = -(-len(piece) // BLOCK)
        decoded = torch.ops.bitsandbytes.dequantize_4bit.default(
            code, absmax[at : at + blocks].contiguous(), BLOCK, "nf4", piece.shape, dtype
        )
        piece.copy_(decoded.to(compute).reshape(-1))
        at += blocks
    return out.view(weight.shape)


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes.functional as functional
    except (ImportError, RuntimeError) as error:
        raise UserError(
            "the base was trained in 4 bits, and merging rounds it the same way with bitsandbytes, which does not load "
            f"here ({error}). Install it, or merge with `--base original` (another function than the evaluated one)."
        ) from None
    return functional
