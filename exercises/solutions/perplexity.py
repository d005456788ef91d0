"""Exercise: perplexity and bits per byte of held-out documents, in numpy.

    nats          = - sum over t >= 1 of log softmax(logits[t - 1])[ids[t]]        the first id is given, not predicted
    perplexity    = exp(all nats / all predicted tokens)
    bits per byte = all nats / ln 2 / all UTF-8 bytes

Ratios of sums over all documents, not means of documents' ratios. Perplexity counts a tokenizer's tokens, so it is
comparable only between models of one tokenizer; bytes are everybody's. Source: docs/metrics.md.
Check: python -m pytest exercises/checks/test_perplexity.py
Letters: T tokens of a document, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def document_nats(logits_TV: np.ndarray, ids_T: np.ndarray) -> float:
    """-log p of a document's ids after the first. `logits_TV[t]` is what the model says after reading ids 0 … t."""
    z_TV = logits_TV[:-1] - logits_TV[:-1].max(axis=1, keepdims=True)
    logp_TV = z_TV - np.log(np.exp(z_TV).sum(axis=1, keepdims=True))
    return -float(logp_TV[np.arange(len(z_TV)), ids_T[1:]].sum())


def perplexity(nats: Sequence[float], tokens: Sequence[int]) -> float:
    """Of documents with these nats and numbers of predicted tokens."""
    return math.exp(sum(nats) / sum(tokens))


def bits_per_byte(nats: Sequence[float], sizes: Sequence[int]) -> float:
    """Of documents with these nats and lengths in UTF-8 bytes."""
    return sum(nats) / math.log(2) / sum(sizes)
