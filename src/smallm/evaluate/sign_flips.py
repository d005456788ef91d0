"""Paired permutation tests by sign flips: how often chance alone would make as large a difference of two models.

If two models are alike, swapping their answers on any cluster of items changes nothing in law: each cluster's
difference keeps or changes its sign with probability 1/2 (Fisher, The Design of Experiments, 1935, §21; for corpus
metrics this is approximate randomisation: Noreen 1989; Riezler and Maxwell 2005). Exact where few clusters differ,
else RESAMPLES random sign patterns, one matrix of packed bits for all tasks. Ties count as extreme: sacrebleu 2.6's
PairedTest leaves them out and so calls two systems that differ in one sentence different (p = 0.0001).
Letters: G clusters, S summed columns, R sign patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 9_999
# Up to so many clusters that differ, all 2^G patterns are gone through: no more than RESAMPLES would be.
EXACT_CLUSTERS = 14
CHUNK_VALUES = 500_000


@dataclass(frozen=True)
class Contrast:
    """What a permutation test permutes.

    difference_GS: each cluster's columns of b minus those of a. statistic: sums of flipped differences, flipped_RS, to
    the difference of the two figures, values_R; it must be odd (all signs flipped: the negative).
    """

    difference_GS: np.ndarray
    statistic: Callable[[np.ndarray], np.ndarray]

    def differing(self) -> np.ndarray:
        """The rows that are not zero; flipping the others changes nothing."""
        return self.difference_GS[(self.difference_GS != 0).any(1)]


def sign_flip_p_values(
    contrasts: Sequence[Contrast], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[tuple[float, bool]]:
    """(two-sided p value, whether it is exact) of each contrast.

    Exact: the share of all patterns at least as far from 0 as what was seen. Random: (1 + that count) / (1 +
    resamples), which is never 0 and a valid p value (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010). The
    contrasts share the patterns: each p value is as valid as it would be alone.
    """
    rows = [contrast.differing() for contrast in contrasts]
    results: list[tuple[float, bool]] = [(1.0, True)] * len(contrasts)
    for i, difference_GS in enumerate(rows):
        if 0 < len(difference_GS) <= EXACT_CLUSTERS:
            results[i] = (_exact(contrasts[i], difference_GS), True)
    large = [i for i, difference_GS in enumerate(rows) if len(difference_GS) > EXACT_CLUSTERS]
    if not large:
        return results
    flipped = _flipped([rows[i] for i in large], resamples, seed)
    for i, flipped_RS in zip(large, flipped, strict=True):
        extreme = _count_extreme(contrasts[i], rows[i], flipped_RS)
        results[i] = ((1 + extreme) / (1 + resamples), False)
    return results


def _exact(contrast: Contrast, difference_GS: np.ndarray) -> float:
    """Over all patterns; those with the first sign kept are half of them, the other half are their negatives."""
    groups = len(difference_GS)
    bits_RG = (np.arange(2 ** (groups - 1))[:, None] >> np.arange(groups)) & 1
    flipped_RS = (1.0 - 2.0 * bits_RG) @ difference_GS
    return _count_extreme(contrast, difference_GS, flipped_RS) / len(flipped_RS)


def _flipped(rows: Sequence[np.ndarray], resamples: int, seed: int) -> list[np.ndarray]:
    """Sums under random signs, flipped_RS of each table of rows; all columns go through one product a chunk."""
    widest = max(len(difference_GS) for difference_GS in rows)
    columns_GC = np.concatenate(
        [np.pad(difference_GS, ((0, widest - len(difference_GS)), (0, 0))) for difference_GS in rows], axis=1
    )
    total_C = columns_GC.sum(0)
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK_VALUES // widest)
    flipped_RC = np.empty((resamples, columns_GC.shape[1]))
    for start in range(0, resamples, chunk):
        part = min(chunk, resamples - start)
        packed = rng.integers(0, 256, (part, -(-widest // 8)), np.uint8)
        bits_RG = np.unpackbits(packed, axis=1, count=widest).astype(np.float64)
        # signs = 2 bits - 1, so signs @ columns = 2 bits @ columns - their total: two passes over memory less
        flipped_RC[start : start + part] = 2 * (bits_RG @ columns_GC) - total_C
    ends = np.cumsum([difference_GS.shape[1] for difference_GS in rows])
    return np.split(flipped_RC, ends[:-1], axis=1)


def _count_extreme(contrast: Contrast, difference_GS: np.ndarray, flipped_RS: np.ndarray) -> int:
    """Patterns whose statistic is as far from 0 as the observed one; rounding must not break a tie."""
    observed = abs(float(contrast.statistic(difference_GS.sum(0, keepdims=True))[0]))
    values_R = np.abs(contrast.statistic(flipped_RS))
    slack = 1e-9 * max(observed, float(values_R.max()))
    return int((values_R >= observed - slack).sum())


def mean_contrast(difference_G: np.ndarray) -> Contrast:
    """Of a mean, or of a ratio whose denominators are the same for both models."""
    return Contrast(np.asarray(difference_G, np.float64)[:, None], lambda flipped_RS: flipped_RS[:, 0])


def ratio_contrast(dy_G: np.ndarray, dx_G: np.ndarray, y_total: float, x_total: float) -> Contrast:
    """Of sum(y) / sum(x) where the models' x differ (tokens of two tokenizers); totals are over both models."""

    def statistic(flipped_RS: np.ndarray) -> np.ndarray:
        y_R, x_R = flipped_RS[:, 0], flipped_RS[:, 1]
        return (y_total + y_R) / (x_total + x_R) - (y_total - y_R) / (x_total - x_R)

    return Contrast(np.stack([dy_G, dx_G], 1).astype(np.float64), statistic)


def corpus_contrast(
    a_sums_GS: np.ndarray, b_sums_GS: np.ndarray, score: Callable[[np.ndarray], np.ndarray]
) -> Contrast:
    """Of a metric of summed statistics: `score` takes sums_RS to values_R."""
    total_S = a_sums_GS.sum(0) + b_sums_GS.sum(0)

    def statistic(flipped_RS: np.ndarray) -> np.ndarray:
        return score((total_S + flipped_RS) / 2) - score((total_S - flipped_RS) / 2)  # counts stay whole numbers

    return Contrast(b_sums_GS - a_sums_GS, statistic)
