"""What the compiled pass does to single rows: norms, rotation, activations, softmax, the mean of the values.

Loops that numba turns into vectors, in the order in which they stand: nothing is left to fast-math.
Letters: D width, C head width, R half of the rotated channels, F feed-forward width, S positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from smallm.model.compiled.layout import GELU, RELU2, SWIGLU
from smallm.model.compiled.tiles import address, dot, float_at, floor32, power_of_two

# error_model: a division by zero gives infinity, as in torch, and needs no test in every loop.
serial = njit(nogil=True, error_model="numpy")

ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)
LEAST, MOST = np.float32(-87.0), np.float32(88.0)
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
E0, E1, E2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
E3, E4 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1)
GELU_A, GELU_B = np.float32(2 * (2 / np.pi) ** 0.5), np.float32(0.044715)


@serial
def exp32(x: Any) -> Any:
    """e^x within 2 units in the last place, in operations that become vectors (Cephes' expf); below -87, e^-87."""
    x = min(max(x, LEAST), MOST)
    n = floor32(x * LOG2_E + HALF)
    x = x - n * LN2_HIGH - n * LN2_LOW
    p = ((((E0 * x + E1) * x + E2) * x + E3) * x + E4) * x + HALF
    return (p * x * x + x + ONE) * power_of_two(n)


@serial
def activate(mlp: Any, row_X: Any, F: Any, first: Any, last: Any) -> None:
    """The MLP's activation of gate (the row's first F) and up (the F after them), into up, from `first` to `last`."""
    if mlp == SWIGLU:
        for f in range(first, last):
            gate = row_X[f]
            row_X[F + f] = row_X[F + f] * gate / (ONE + exp32(-gate))
    elif mlp == GELU:  # x (1 + tanh(z)) / 2 is x / (1 + e^(-2z))
        for f in range(F + first, F + last):
            x = row_X[f]
            row_X[f] = x / (ONE + exp32(-GELU_A * (x + GELU_B * x * x * x)))
    else:
        for f in range(F + first, F + last):
            x = max(row_X[f], ZERO)
            row_X[f] = x * x if mlp == RELU2 else x


@serial
def softmax(scores_S: Any, seen: Any, scale: Any) -> Any:
    """e^(scale (score - the largest)) in place; returns their sum."""
    largest = scores_S[0]
    for s in range(1, seen):
        largest = max(largest, scores_S[s])
    for s in range(seen):
        scores_S[s] = exp32((scores_S[s] - largest) * scale)
    a = b = c = d = ZERO  # four sums: an addition need not wait for the one before
    whole = seen - seen % 4
    for s in range(0, whole, 4):
        a += scores_S[s]
        b += scores_S[s + 1]
        c += scores_S[s + 2]
        d += scores_S[s + 3]
    for s in range(whole, seen):
        a += scores_S[s]
    return (a + b) + (c + d)


@serial
def mix(values_SC: Any, weights_S: Any, seen: Any, total: Any, out_C: Any) -> None:
    """The values' mean by weight; four at a time, so that the sum is loaded and stored less often."""
    C = out_C.shape[0]
    for c in range(C):
        out_C[c] = ZERO
    whole = seen - seen % 4
    for s in range(0, whole, 4):
        v0, v1, v2, v3 = values_SC[s], values_SC[s + 1], values_SC[s + 2], values_SC[s + 3]
        p0, p1, p2, p3 = weights_S[s], weights_S[s + 1], weights_S[s + 2], weights_S[s + 3]
        for c in range(C):
            out_C[c] = out_C[c] + p0 * v0[c] + p1 * v1[c] + p2 * v2[c] + p3 * v3[c]
    for s in range(whole, seen):
        v0, p0 = values_SC[s], weights_S[s]
        for c in range(C):
            out_C[c] = out_C[c] + p0 * v0[c]
    for c in range(C):
        out_C[c] = out_C[c] / total


@serial
def normalise(layer_norm: Any, x_D: Any, weight: Any, bias: Any, eps: Any, out_D: Any) -> None:
    """RMSNorm or LayerNorm of one row; `out` may be the row itself."""
    D = x_D.shape[0]
    mean = ZERO
    if layer_norm:
        for d in range(D):
            mean += x_D[d]
        mean = mean / np.float32(D)
    for d in range(D):
        out_D[d] = x_D[d] - mean
    square = dot(address(out_D), address(out_D), D) / np.float32(D)
    scale = ONE / np.sqrt(square + np.float32(eps))
    for d in range(D):
        out_D[d] = out_D[d] * scale * float_at(weight, d)
    if bias != 0:
        for d in range(D):
            out_D[d] += float_at(bias, d)


@serial
def rotate(x_C: Any, cos: Any, sin: Any, position: Any, R: Any) -> None:
    """Channel r with r + R, by the tables' row of the position."""
    for r in range(R):
        c, s = float_at(cos, position * R + r), float_at(sin, position * R + r)
        one, other = x_C[r], x_C[r + R]
        x_C[r] = one * c - other * s
        x_C[r + R] = other * c + one * s
