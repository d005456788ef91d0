"""Exercise: attention of one row, with grouped heads, in numpy.

    weights[h, t, s] = softmax over s of (q[t, h] · k[s, g(h)]) / sqrt(C), over the keys that t may see
    out[t, h]        = sum over s of weights[h, t, s] v[s, g(h)]
    g(h)             = h // (H / K): a key-value head serves H / K query heads in a row

Source: Vaswani et al. 2017, section 3.2.1; groups: Ainslie et al. 2023. Page: papers/attention.md.
Check: python -m pytest exercises/checks/test_attention.py
Letters: T time of the queries, S of the keys, H query heads, K key-value heads, C head width.
"""

from __future__ import annotations

import numpy as np


def attention(q_THC: np.ndarray, k_SKC: np.ndarray, v_SKC: np.ndarray, allowed_TS: np.ndarray) -> np.ndarray:
    """What each query takes from the values, (T, H, C).

    `allowed_TS` is True where query t may see key s; each row has at least one. Scores may be in the thousands: a
    softmax that overflows is wrong.
    """
    T, H, C = q_THC.shape
    out_THC = np.zeros((T, H, C))
    for h in range(H):
        group = h // (H // k_SKC.shape[1])
        scores_TS = q_THC[:, h] @ k_SKC[:, group].T / np.sqrt(C)
        scores_TS = np.where(allowed_TS, scores_TS, -np.inf)
        weights_TS = np.exp(scores_TS - scores_TS.max(axis=1, keepdims=True))
        weights_TS /= weights_TS.sum(axis=1, keepdims=True)
        out_THC[:, h] = weights_TS @ v_SKC[:, group]
    return out_THC
