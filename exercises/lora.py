"""Exercise: the forward pass of a linear layer with a LoRA adapter, and the same layer merged, in numpy.

    y = x Wᵀ + (alpha / r) (x Aᵀ) Bᵀ                W: O x I, frozen;  A: r x I,  B: O x r, trained
    merged: W' = W + (alpha / r) B A

r is the rank: A's rows. B starts at zero, so that training begins at the base model. Source: Hu et al. 2021,
section 4.1. Page: papers/lora.md.
Check: python -m pytest exercises/checks/test_lora.py
Letters: N tokens, I inputs, O outputs, r rank.
"""

from __future__ import annotations

import numpy as np


def lora_forward(x_NI: np.ndarray, w_OI: np.ndarray, a_rI: np.ndarray, b_Or: np.ndarray, alpha: float) -> np.ndarray:
    """y_NO, without ever making the O x I matrix B A."""
    raise NotImplementedError


def merged(w_OI: np.ndarray, a_rI: np.ndarray, b_Or: np.ndarray, alpha: float) -> np.ndarray:
    """W'_OI, with which a plain layer gives what the adapter gives."""
    raise NotImplementedError
