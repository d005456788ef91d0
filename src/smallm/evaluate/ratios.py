"""Ratios with error bars: a total over documents divided by another, and shares.

Bits per byte, nats per token and the share of accepted sentences are all ratios of sums over
documents (clusters), so one estimator serves them. Plain numbers in and out; no models here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Ratio:
    """`value` = sum(y) / sum(x) over `documents`; `standard_error` is None under two documents."""

    value: float
    standard_error: float | None
    documents: int

    def interval(self) -> tuple[float, float] | None:
        """The normal 95 % interval, or None when the error is unknown."""
        if self.standard_error is None:
            return None
        return self.value - Z95 * self.standard_error, self.value + Z95 * self.standard_error


def ratio_of_sums(y_N: np.ndarray, x_N: np.ndarray) -> Ratio:
    """The ratio estimator R = sum(y) / sum(x) and its delta-method standard error.

    se = sqrt(n / (n - 1) * sum((y_i - R x_i)^2)) / sum(x): documents are the sampling unit, so
    tokens of one document may depend on each other freely (Cochran, Sampling Techniques, 3rd ed.,
    1977, eq. 6.13 without the finite-population factor). Raises ValueError when sum(x) is not positive.
    """
    y, x = np.asarray(y_N, np.float64), np.asarray(x_N, np.float64)
    total = x.sum()
    if not total > 0:
        raise ValueError(f"sum(x) must be positive, it is {total}")
    value, n = float(y.sum() / total), len(x)
    if n < 2:
        return Ratio(value, None, n)
    error = math.sqrt(n / (n - 1) * float(((y - value * x) ** 2).sum())) / float(total)
    return Ratio(value, error, n)


def share_with_interval(accepted_N: np.ndarray, counted_N: np.ndarray) -> tuple[float, float, float]:
    """Share = sum(accepted) / sum(counted) over clusters, with a 95 % interval inside [0, 1].

    Wilson's interval at the effective sample size share * (1 - share) / se^2 of the clustered
    estimate, which stays honest near 0 and 1 (Korn and Graubard, Survey Methodology 24, 1998). With
    no variation between clusters, the number of clusters is the sample size.
    """
    ratio = ratio_of_sums(accepted_N, counted_N)
    share, clusters, counted = ratio.value, len(counted_N), float(np.sum(counted_N))
    if ratio.standard_error:
        effective = min(counted, share * (1 - share) / ratio.standard_error**2)
    else:
        effective = float(clusters)
    z2 = Z95**2 / max(effective, 1.0)
    centre = (share + z2 / 2) / (1 + z2)
    half = Z95 / (1 + z2) * math.sqrt(share * (1 - share) / max(effective, 1.0) + z2 / (4 * max(effective, 1.0)))
    return share, max(0.0, centre - half), min(1.0, centre + half)
