"""Ratios with error bars: a total over documents divided by another, and shares.

Bits per byte, nats per token, accuracy over passages and the share of accepted sentences are all ratios of sums
over clusters (documents, passages), so one estimator serves them. Plain numbers in and out; no models here.
Letters: N clusters. y_N is what is summed above the line, x_N below it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Ratio:
    """`value` = sum(y) / sum(x) over `documents`; under two documents, error and degrees of freedom are None."""

    value: float
    standard_error: float | None
    documents: int
    df: float | None = None

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """The t interval, or None when the error is unknown."""
        if self.standard_error is None or self.df is None:
            return None
        half = t_quantile(self.df, level) * self.standard_error
        return self.value - half, self.value + half


def ratio_of_sums(y_N: np.ndarray, x_N: np.ndarray) -> Ratio:
    """The ratio estimator R = sum(y) / sum(x), its standard error over clusters and its degrees of freedom.

    Clusters are the sampling unit, so tokens of one document (items of one passage) may depend on each other
    freely. The residuals y - R x go through `sandwich`; equal x give the textbook error of a mean. Raises
    ValueError when sum(x) is not positive, x is negative, or a cluster has y without x.
    """
    y, x = np.asarray(y_N, np.float64), np.asarray(x_N, np.float64)
    total = float(x.sum())
    if not total > 0:
        raise ValueError(f"sum(x) must be positive, it is {total}")
    if (x < 0).any() or ((x == 0) & (y != 0)).any():
        raise ValueError("a cluster's x is negative, or zero where its y is not")
    if (x == 0).any():  # nothing was measured there
        y, x = y[x > 0], x[x > 0]
    value = float(y.sum() / total)
    if len(x) < 2:
        return Ratio(value, None, len(x))
    error, df = sandwich((y - value * x) / total, x / total)
    return Ratio(value, error, len(x), df)


def sandwich(residual_N: np.ndarray, share_N: np.ndarray) -> tuple[float, float]:
    """Standard error of a ratio of sums from clusters of any size, and the degrees of freedom of its t quantile.

    residual_N: each cluster's part of the estimate's error, (y - R x) / sum(x), summing to 0; share_N: its part
    of sum(x), summing to 1; N >= 2. With equal shares this is sqrt(N / (N - 1) * sum(residual^2)) and N - 1.

    With unequal shares a large cluster pulls the estimate towards itself, which makes its residual too small, and
    a few large clusters carry fewer degrees of freedom than N - 1: the plain sandwich with N - 1 covers 88 to 93 % in
    place of 95 (log-normal sizes; tests/evaluate/test_coverage.py). So each square is divided by the share of it
    that is left under a working model of the clusters' variances, v, and the degrees of freedom are Satterthwaite's
    under the same model: the bias-reduced linearisation of Bell and McCaffrey (Survey Methodology 28, 2002; CR2 in
    Imbens and Kolesar, Review of Economics and Statistics 98, 2016) for a mean. v = a share + b share^2 is fitted to
    the residuals: a is items that do not know of each other, b what is common to a cluster.
    """
    e, w = np.asarray(residual_N, np.float64), np.asarray(share_N, np.float64)
    v = _working_variance(e * e, w)
    total = v.sum()
    kept = v - 2 * w * v + w * w * total  # the variance of each residual, for errors of variance v
    a = v / kept
    error = math.sqrt(float((a * e * e).sum()))
    # df = tr(B)^2 / tr(B^2) with B_gh = sqrt(a_g a_h) * cov(e_g, e_h); tr(B) = total. The double sum over
    # g != h of a_g a_h (w_g w_h total - w_g v_h - w_h v_g)^2 falls apart into products of single sums.
    aww, avv, awv = a * w * w, a * v * v, a * w * v
    p, q, r = aww.sum(), avv.sum(), awv.sum()
    off = 2 * p * q + total**2 * p**2 + 2 * r**2 - 4 * total * p * r
    off -= (a * a * (w * w * total - 2 * w * v) ** 2).sum()
    return error, max(1.0, float(total**2 / (off + (a * a * kept * kept).sum())))


def _working_variance(square_N: np.ndarray, share_N: np.ndarray) -> np.ndarray:
    """a share + b share^2 with a, b >= 0 by least squares of square / share on share; its scale does not matter."""
    rate = square_N / share_N
    off = share_N - share_N.mean()
    spread = float(off @ off)
    b = max(0.0, float(off @ rate) / spread) if spread > 1e-18 else 0.0
    a = max(0.0, float(rate.mean() - b * share_N.mean()))
    return a * share_N + b * share_N**2 if a > 0 or b > 0 else share_N


def t_quantile(df: float, level: float = 0.95) -> float:
    """The two-sided quantile of Student's t; `df` infinite is the normal."""
    return float(stdtrit(min(df, 1e12), 0.5 + level / 2))


def wilson(share: float, effective: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval (JASA 22, 1927) of a share seen in `effective` independent items, inside [0, 1]."""
    z2 = quantile**2 / effective
    centre = (share + z2 / 2) / (1 + z2)
    half = quantile / (1 + z2) * math.sqrt(share * (1 - share) / effective + z2 / (4 * effective))
    # At none and all the formula gives the share itself but for rounding.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def effective_items(share: float, ratio: Ratio) -> float:
    """How many independent items would have the ratio's standard error: share (1 - share) / se^2.

    Where no cluster differs from the others (none right, all right), the number of clusters. Korn and Graubard, Survey
    Methodology 24, 1998. Not capped at the true number: the estimate scatters around it where clusters do not matter,
    and a cap would make the interval too wide half of the time.
    """
    error = ratio.standard_error or 0.0
    return share * (1 - share) / error**2 if error > 1e-12 and 0 < share < 1 else float(ratio.documents)


def share_with_interval(accepted_N: np.ndarray, counted_N: np.ndarray) -> tuple[float, float, float]:
    """Share = sum(accepted) / sum(counted) over clusters, with a 95 % interval inside [0, 1].

    Wilson's interval at the effective sample size of the clustered estimate, with the t quantile of its degrees of
    freedom, which stays honest near 0 and 1 and for few clusters. One cluster counts as one item.
    """
    ratio = ratio_of_sums(accepted_N, counted_N)
    quantile = t_quantile(ratio.df if ratio.df is not None else math.inf)
    return ratio.value, *wilson(ratio.value, effective_items(ratio.value, ratio), quantile)
