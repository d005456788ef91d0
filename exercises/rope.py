"""Exercise: rotary positions (RoPE) in numpy.

    angle[t, r] = position[t] * theta^(-r / R)                    r = 0 … R - 1,  R = C / 2
    y[t, r]     = x[t, r] cos angle[t, r] - x[t, r + R] sin angle[t, r]
    y[t, r + R] = x[t, r + R] cos angle[t, r] + x[t, r] sin angle[t, r]

Channel r is turned together with channel r + R, as Transformers stores the weights (the paper pairs 2r and 2r + 1:
the same rotation of other channels). Source: Su et al. 2021, section 3.4. Page: papers/llama2.md.
Check: python -m pytest exercises/checks/test_rope.py
Letters: T time, H heads, C head width, R half of it.
"""

from __future__ import annotations

import numpy as np


def rotate(x_THC: np.ndarray, positions_T: np.ndarray, theta: float = 10_000.0) -> np.ndarray:
    """`x_THC` with every head turned by the angles of its position; C is even."""
    raise NotImplementedError
