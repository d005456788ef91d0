"""Exercise: several documents in one row, none of which sees another.

    allowed[t, s] = (segment[t] = segment[s])  and  (s <= t)  and  (t - s < window, where there is a window)
    position[t]   = t - (where the run of equal segments that t is in begins)

A token sees itself always. Source: the "block-diagonal" mask of packed training (Krell et al. 2021); the window:
Jiang et al. 2023, section 2. Pages: papers/mistral.md, docs/finetuning.md.
Check: python -m pytest exercises/checks/test_packing_mask.py
Letters: T time.
"""

from __future__ import annotations

import numpy as np


def packing_mask(segments_T: np.ndarray, window: int | None = None) -> np.ndarray:
    """bool_TT: may the token at [t] see the token at [s]? `segments_T` numbers the row's documents 0, 1, 2, …"""
    T = len(segments_T)
    allowed_TT = np.zeros((T, T), dtype=bool)
    for t in range(T):
        for s in range(t + 1):
            near = window is None or t - s < window
            allowed_TT[t, s] = segments_T[t] == segments_T[s] and near
    return allowed_TT


def positions(segments_T: np.ndarray) -> np.ndarray:
    """int_T: the place of each token in its own document, from 0."""
    out_T = np.zeros(len(segments_T), dtype=np.int64)
    for t in range(1, len(segments_T)):
        out_T[t] = out_T[t - 1] + 1 if segments_T[t] == segments_T[t - 1] else 0
    return out_T
