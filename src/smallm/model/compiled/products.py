"""Matrix products of the compiled pass: each weight is read once for all rows, by all threads.

A thread takes a block of outputs and computes it for every row; where the block ends depends on nothing but the matrix.
Letters: N rows, M matrices (what a row of them holds says layout.py), X their outputs side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from smallm.model.compiled.layout import BFLOAT16, BIAS, BLOCK, COLUMN, FIRST, FLOAT32, OUTPUTS, WEIGHT
from smallm.model.compiled.rows import activate, serial
from smallm.model.compiled.tiles import SIZES, address, float_at, tile

# Of numba's parallel rewriting only prange is wanted: the rest would double the time to compile.
_REWRITES = ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion")
_ONLY_PRANGE: Any = {"prange": True, **dict.fromkeys(_REWRITES, False)}
parallel = njit(nogil=True, error_model="numpy", parallel=_ONLY_PRANGE)


def _multiplier(kind: int) -> Any:
    """Any number of weight rows by any number of activation rows, cut into tiles."""
    wide, tall, row, one = tile(kind, 3, 4), tile(kind, 8, 1), tile(kind, 1, 4), tile(kind, 1, 1)
    size = SIZES[kind]

    @serial
    def multiply(w: Any, ldw: Any, x: Any, ldx: Any, k: Any, y: Any, ldy: Any, rows: Any, cols: Any) -> None:
        c = 0
        while c + 4 <= cols:
            r = 0
            while r + 3 <= rows:
                wide(w + size * r * ldw, ldw, x + 4 * c * ldx, ldx, k, y + 4 * (c * ldy + r), ldy)
                r += 3
            while r < rows:
                row(w + size * r * ldw, ldw, x + 4 * c * ldx, ldx, k, y + 4 * (c * ldy + r), ldy)
                r += 1
            c += 4
        while c < cols:
            r = 0
            while r + 8 <= rows:
                tall(w + size * r * ldw, ldw, x + 4 * c * ldx, ldx, k, y + 4 * (c * ldy + r), ldy)
                r += 8
            while r < rows:
                one(w + size * r * ldw, ldw, x + 4 * c * ldx, ldx, k, y + 4 * (c * ldy + r), ldy)
                r += 1
            c += 1

    return multiply


multiply_floats, multiply_bfloats = _multiplier(FLOAT32), _multiplier(BFLOAT16)


@serial
def linear(kind: Any, matrix_5: Any, block: Any, x: Any, ldx: Any, inputs: Any, N: Any, y_NX: Any) -> None:
    """One block of a matrix's outputs for N rows of activations, which begin at the address x, ldx apart."""
    weight, bias, ldy = matrix_5[WEIGHT], matrix_5[BIAS], y_NX.shape[1]
    first = block * BLOCK
    rows, column = min(BLOCK, matrix_5[OUTPUTS] - first), matrix_5[COLUMN] + first
    y = address(y_NX) + 4 * column
    if kind == BFLOAT16:
        multiply_bfloats(weight + 2 * first * inputs, inputs, x, ldx, inputs, y, ldy, rows, N)
    else:
        multiply_floats(weight + 4 * first * inputs, inputs, x, ldx, inputs, y, ldy, rows, N)
    if bias != 0:
        for n in range(N):
            for o in range(rows):
                y_NX[n, column + o] += float_at(bias, first + o)


@serial
def project_block(
    kind: Any, matrices_M5: Any, begin: Any, end: Any, x: Any, ldx: Any, inputs: Any, N: Any, y_NX: Any, mlp: Any,
    sum_NX: Any, block: Any,
) -> None:  # fmt: skip
    """One block of `project`."""
    F = y_NX.shape[1] // 2
    for m in range(begin, end):
        own, outputs = block - matrices_M5[m, FIRST], matrices_M5[m, OUTPUTS]
        if own >= 0 and own * BLOCK < outputs:
            linear(kind, matrices_M5[m], own, x, ldx, inputs, N, y_NX)
    first, last = block * BLOCK, min(y_NX.shape[1], (block + 1) * BLOCK)
    for n in range(N):
        if mlp >= 0:
            activate(mlp, y_NX[n], F, first, min(F, last))
        if address(sum_NX) != address(y_NX):
            for o in range(first, last):
                sum_NX[n, o] += y_NX[n, o]


@parallel
def share_blocks(
    kind: Any, matrices_M5: Any, begin: Any, end: Any, x: Any, ldx: Any, inputs: Any, N: Any, y_NX: Any, mlp: Any,
    sum_NX: Any, total: Any,
) -> None:  # fmt: skip
    """All blocks of `project`, each by one thread."""
    for block in prange(total):
        project_block(kind, matrices_M5, begin, end, x, ldx, inputs, N, y_NX, mlp, sum_NX, np.int64(block))


@serial
def project(
    threads: Any, kind: Any, matrices_M5: Any, begin: Any, end: Any, x: Any, ldx: Any, inputs: Any, N: Any,
    y_NX: Any, mlp: Any, sum_NX: Any,
) -> None:  # fmt: skip
    """The products of N rows with the matrices from `begin` to `end`, side by side in y.

    `mlp` of at least 0: that activation of gate and up, which end in the same blocks, into up. Added to `sum_NX` where
    that is another array than y.
    """
    total = 0
    for m in range(begin, end):
        total = max(total, matrices_M5[m, FIRST] + (matrices_M5[m, OUTPUTS] + BLOCK - 1) // BLOCK)
    if threads > 1:
        share_blocks(kind, matrices_M5, begin, end, x, ldx, inputs, N, y_NX, mlp, sum_NX, total)
    else:  # numba would wake all its threads for a single one
        for block in range(total):
            project_block(kind, matrices_M5, begin, end, x, ldx, inputs, N, y_NX, mlp, sum_NX, block)
