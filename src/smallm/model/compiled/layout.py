"""What the compiled pass is told: a model's switches as numbers, its weights as addresses, its space as arrays.

Plain data; loads no numba. fast.py fills it from a decoder.
Letters: N rows, D width, H heads, K key-value heads, C head width, F feed-forward width, L layers, B slots,
S positions, X several of these side by side, M matrices of a layer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FLOAT32, BFLOAT16 = 0, 1
ROWS = 32  # most rows of one pass
PRE, POST, PARALLEL = 0, 1, 2
BLOCKS = {"pre": PRE, "post": POST, "parallel": PARALLEL}
SWIGLU, GELU, RELU2, RELU = 0, 1, 2, 3
MLPS = {"swiglu": SWIGLU, "gelu": GELU, "relu2": RELU2, "relu": RELU}
# Norms of a layer, by address; 0 where the layer has no such tensor.
A_NORM, A_NORM_BIAS, Q_NORM, K_NORM, M_NORM, M_NORM_BIAS = range(6)
# A layer's products, by their matrices' rows in `products_LM5`: queries, keys, values; output; gate, up; down.
# Where each begins; of numpy's type, because numba would compile a function anew for every plain number handed to it.
HEADS, OUT, MLP, DOWN, END = np.int64(0), np.int64(3), np.int64(4), np.int64(6), np.int64(7)
ONE, NONE, NO = np.int64(1), np.int64(-1), np.int64(0)
# A matrix: where its weights and its bias (or 0) lie, how many outputs it has (0: no such matrix), into which column
# the first goes, and which block of its product it begins with.
WEIGHT, BIAS, OUTPUTS, COLUMN, FIRST = range(5)
# What stands around the layers, by address.
EMBED, POSITIONS, COS, SIN, WAVES, NORM, NORM_BIAS = range(7)
# Outputs that one thread computes at a time: eight and three divide it, and it divides most widths.
BLOCK = 24


def blocks(outputs: int) -> int:
    """How many blocks a matrix of so many outputs is."""
    return -(-outputs // BLOCK)


class Shape(NamedTuple):
    """The switches of a model, as numbers."""

    kind: int  # of the weights: FLOAT32 or BFLOAT16
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    vocabulary: int
    rotated: int  # R; 0 without rotation
    window: int
    block: int
    layer_norm: int
    mlp: int
    eps: float


class Room(NamedTuple):
    """What a pass writes: its caches, and space for what lies between two products."""

    keys_LBKSC: np.ndarray
    values_LBKSC: np.ndarray
    x_ND: np.ndarray
    normed_ND: np.ndarray
    out_ND: np.ndarray
    qkv_NX: np.ndarray
    heads_NX: np.ndarray
    mlp_NX: np.ndarray
    scores_NHS: np.ndarray
    rows_N: np.ndarray  # 0, 1, 2, …


def make_room(shape: Shape, slots: int, length: int) -> Room:
    """Space for `slots` texts of at most `length` tokens."""

    def floats(*sizes: int) -> np.ndarray:
        return np.empty(sizes, dtype=np.float32)

    D, F, C = shape.width, shape.ffn_width, shape.head_width
    cache = (shape.layers, slots, shape.kv_heads, length, C)
    return Room(
        keys_LBKSC=floats(*cache), values_LBKSC=floats(*cache),
        x_ND=floats(ROWS, D), normed_ND=floats(ROWS, D), out_ND=floats(ROWS, D),
        qkv_NX=floats(ROWS, (shape.heads + 2 * shape.kv_heads) * C), heads_NX=floats(ROWS, shape.heads * C),
        mlp_NX=floats(ROWS, 2 * F), scores_NHS=floats(ROWS, shape.heads, length), rows_N=np.arange(ROWS),
    )  # fmt: skip
