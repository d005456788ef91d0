"""Exercise: a weight row in 4 bits, NormalFloat (NF4), in numpy.

    absmax[b] = the largest |w| of block b (64 weights in a row)
    code[i]   = the number of the level nearest to w[i] / absmax, 0 … 15; half-way, the lower one
    w'[i]     = LEVELS[code[i]] * absmax

The levels are quantiles of a normal distribution, scaled to [-1, 1], with an exact zero. Source: Dettmers et al. 2023,
section 3 and appendix E. Page: papers/qlora.md (and the double quantisation of absmax, which is not asked for here).
Check: python -m pytest exercises/checks/test_nf4.py
Letters: N weights, G blocks of 64.
"""

from __future__ import annotations

import numpy as np

BLOCK = 64
LEVELS = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ],
    dtype=np.float32,
)


def quantise(w_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(codes uint8 (N), absmax float32 (G)) of float32 weights; N is a multiple of 64, no block is all zeros.

    Work in float32 and multiply by 1 / absmax, as the kernels do: then every code is theirs, to the last one.
    """
    blocks_GB = w_N.astype(np.float32).reshape(-1, BLOCK)
    absmax_G = np.abs(blocks_GB).max(axis=1)
    scaled_GB = blocks_GB * (np.float32(1.0) / absmax_G)[:, None]
    between = (LEVELS[1:] + LEVELS[:-1]) / np.float32(2.0)
    return np.searchsorted(between, scaled_GB.reshape(-1), side="left").astype(np.uint8), absmax_G


def dequantise(codes_N: np.ndarray, absmax_G: np.ndarray) -> np.ndarray:
    """float32 (N): the weights that the model computes with."""
    return (LEVELS[codes_N].reshape(-1, BLOCK) * absmax_G[:, None]).reshape(-1)
