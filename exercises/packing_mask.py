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
    raise NotImplementedError


def positions(segments_T: np.ndarray) -> np.ndarray:
    """int_T: the place of each token in its own document, from 0."""
    raise NotImplementedError
