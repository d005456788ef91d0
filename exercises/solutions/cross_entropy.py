"""Exercise: the loss of a language model, in numpy.

    loss = - sum over n of log softmax(logits[n])[target[n]],  in nats, over the targets that are not -100
    log softmax(z)[v] = z[v] - log sum over w of exp z[w]

The sum and the count are handed out apart: a mean of means over micro-batches is not the mean of the batch. Source:
any textbook; -100 is PyTorch's `ignore_index`. Page: papers/gpt2.md.
Check: python -m pytest exercises/checks/test_cross_entropy.py
Letters: N tokens, V vocabulary.
"""

from __future__ import annotations

import numpy as np


def cross_entropy(logits_NV: np.ndarray, targets_N: np.ndarray) -> tuple[float, int]:
    """(summed loss in nats, how many targets counted). No target that counts: (0.0, 0).

    Logits may be in the thousands: exp of them overflows, the loss does not.
    """
    counted = targets_N != -100
    z_NV = logits_NV[counted]
    z_NV = z_NV - z_NV.max(axis=1, keepdims=True)
    logp_NV = z_NV - np.log(np.exp(z_NV).sum(axis=1, keepdims=True))
    return -float(logp_NV[np.arange(len(z_NV)), targets_N[counted]].sum()), int(counted.sum())
