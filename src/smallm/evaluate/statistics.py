"""Estimates with intervals that cover: means, ratios and corpus metrics, clustered; what a guesser would get.

Arrays in, numbers out; no files and no models. Items of one cluster (a passage, a document) may depend on each other
freely: clusters are the sampling unit. Intervals are at 95 % unless `level` says otherwise; that they cover is
simulated in tests/evaluate/test_coverage.py.
Letters: N items, G clusters, S sufficient statistics of an item, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from smallm.evaluate.ratios import Ratio, effective_items, ratio_of_sums, t_quantile, wilson

# Of a corpus metric. The bootstrap's standard error is then known to 2.2 % (1 / sqrt(2 RESAMPLES)).
RESAMPLES = 1000

Clusters = Sequence[Any] | np.ndarray | None
# Sums of sufficient statistics, a row a resample, to the metric's values.
ScoreOfSums = Callable[[np.ndarray], np.ndarray]


class Metric(Protocol):
    """What `figure` reads of evaluate/metrics.py's MetricInfo."""

    @property
    def better(self) -> Literal["higher", "lower"]: ...


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval; error and interval are None under two clusters.

    `design_effect`: how many times the clusters make the variance larger than that of independent items (1 = not).
    """

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    items: int
    clusters: int
    design_effect: float = 1.0


def estimate_mean(score_N: Any, clusters: Clusters = None, *, binary: bool = False, level: float = 0.95) -> Estimate:
    """The mean of item scores. `binary`: scores are 0 or 1 and the interval is Wilson's, else it is Student's t.

    Without clusters the standard error is sd / sqrt(N) with N - 1 below the line (lm-eval's mean_stderr); with them
    that of ratios.sandwich. The binary interval is Wilson's at the effective number of items with the t quantile.
    ValueError: no items, NaN or infinite scores (by position), other values than 0 and 1 where `binary`.
    """
    scores = checked(score_N, "score")
    if binary and not np.isin(scores, (0.0, 1.0)).all():
        at = int(np.argmax(~np.isin(scores, (0.0, 1.0))))
        raise ValueError(f"score {at} is {scores[at]}, a binary metric's is 0 or 1")
    y_G, x_G = cluster_sums(scores, np.ones(len(scores)), clusters)
    ratio = ratio_of_sums(y_G, x_G)
    n, value = len(scores), ratio.value
    interval = ratio.interval(level)
    if interval is None or ratio.df is None:
        return Estimate(value, None, None, None, n, len(x_G))
    if binary:
        whole = len(x_G) == n
        effective = float(n) if whole else effective_items(value, ratio)
        interval = wilson(value, effective, t_quantile(math.inf if whole else ratio.df, level))
    return Estimate(value, ratio.standard_error, *interval, n, len(x_G), _design_effect(scores, ratio))


def estimate_ratio(
    y_N: Any,
    x_N: Any,
    clusters: Clusters = None,
    *,
    transform: Literal["exp"] | None = None,
    level: float = 0.95,
) -> Estimate:
    """sum(y) / sum(x), by the delta method over clusters; `exp` of it and of its interval where `transform` says so.

    bits per byte: y bits, x bytes; perplexity: y nats, x tokens, transform "exp" (its standard error is by the delta
    method too, so it is not half the interval). ValueError: NaN, no items, x that sums to nothing.
    """
    y, x = checked(y_N, "numerator"), checked(x_N, "denominator")
    if len(y) != len(x):
        raise ValueError(f"{len(y)} numerators, {len(x)} denominators")
    y_G, x_G = cluster_sums(y, x, clusters)
    ratio = ratio_of_sums(y_G, x_G)
    interval, value, error = ratio.interval(level), ratio.value, ratio.standard_error
    if transform == "exp":
        value = exp_of(value)
        error = None if error is None else value * error
        interval = None if interval is None else (exp_of(interval[0]), exp_of(interval[1]))
    low, high = interval or (None, None)
    return Estimate(value, error, low, high, len(y), ratio.documents)


def estimate_corpus(
    statistics_NS: Any,
    score: ScoreOfSums,
    clusters: Clusters = None,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A metric of the whole corpus that is a function of summed statistics (BLEU, chrF, macro-F1).

    statistics_NS: one row an item; score: sums_RS -> values_R. The standard error is the standard deviation over
    bootstrap resamples of clusters, the interval value -/+ t times it: on macro-F1 that covers 94 to 95 % of 200
    items or more, percentiles 93.5 to 94.5 (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 12).
    """
    sums_GS = corpus_sums(statistics_NS, clusters)
    value = float(score(sums_GS.sum(0, keepdims=True))[0])
    items, groups = len(statistics_NS), len(sums_GS)
    if groups < 2:
        return Estimate(value, None, None, None, items, groups)
    resampled_R = score(resample_sums(sums_GS, resamples, seed))
    error = float(np.std(resampled_R, ddof=1))
    half = t_quantile(groups - 1, level) * error
    return Estimate(value, error, value - half, value + half, items, groups)


def corpus_sums(statistics_NS: Any, clusters: Clusters) -> np.ndarray:
    """Rows of sufficient statistics added up by cluster: sums_GS. ValueError: none, or NaN (by position)."""
    rows_NS = np.asarray(statistics_NS, np.float64)
    if rows_NS.ndim != 2 or not len(rows_NS):
        raise ValueError("no items")
    _refuse_nan(rows_NS.sum(1), "statistics")
    if clusters is None:
        return rows_NS
    codes_N, groups = cluster_codes(clusters, len(rows_NS))
    sums_GS = np.zeros((groups, rows_NS.shape[1]))
    np.add.at(sums_GS, codes_N, rows_NS)
    return sums_GS


def resample_sums(sums_GS: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums over bootstrap resamples of the rows, sums_RS: how often each row is drawn times the rows, in pieces."""
    groups = len(sums_GS)
    rng = np.random.default_rng(seed)
    rows = max(1, min(resamples, 2_000_000 // groups))
    pieces = []
    for start in range(0, resamples, rows):
        part = min(rows, resamples - start)
        drawn = rng.integers(0, groups, (part, groups)) + groups * np.arange(part)[:, None]
        counts_RG = np.bincount(drawn.ravel(), minlength=part * groups).reshape(part, groups)
        pieces.append(counts_RG @ sums_GS)
    return np.concatenate(pieces)


def chance_interval(
    n_choices_N: Any, clusters: Clusters = None, level: float = 0.95, *, design_effect: float | None = None
) -> tuple[float, float, float]:
    """(chance, low, high): the mean accuracy of a guesser and the interval that its accuracy falls into.

    Item i is right with probability 1 / n_choices_N[i]. Independent items: exact, from the binomial distribution (the
    convolution of several where the numbers of choices differ). With clusters, what does not know the answers may still
    be right or wrong on a passage as a whole, so the number of items is divided by `design_effect` (that of the model's
    own estimate); None takes the worst case, all items of a cluster alike. ValueError: fewer than one choice.
    """
    from scipy.stats import binom

    choices = checked(n_choices_N, "number of choices")
    if (choices < 1).any():
        at = int(np.argmax(choices < 1))
        raise ValueError(f"item {at} has {choices[at]:g} choices")
    inflation = 1.0
    if clusters is not None:
        _, sizes_G = cluster_sums(choices, np.ones(len(choices)), clusters)
        worst = float((sizes_G**2).sum() / sizes_G.sum())
        inflation = worst if design_effect is None else min(worst, max(1.0, design_effect))
    pmf, items = np.ones(1), 0
    for k, count in zip(*np.unique(choices, return_counts=True), strict=True):
        effective = max(1, round(count / inflation))
        pmf = np.convolve(pmf, binom.pmf(np.arange(effective + 1), effective, 1 / k))
        items += effective
    cdf = np.cumsum(pmf)
    tail = (1 - level) / 2 + 1e-12
    low, high = int(np.searchsorted(cdf, tail)), int(np.searchsorted(cdf, 1 - tail))
    return float((1 / choices).mean()), low / items, min(high, items) / items


def figure(
    estimate: Estimate, info: Metric, chance: tuple[float, float, float] | None = None
) -> dict[str, float | int | bool | None]:
    """An estimate as results write it; `at_chance`: the value lies where a guesser's would (None: no such notion)."""
    level, low, high = chance or (None, None, None)
    at_chance = None if low is None or high is None else low - 1e-12 <= estimate.value <= high + 1e-12
    return {
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "low": estimate.low,
        "high": estimate.high,
        "items": estimate.items,
        "clusters": estimate.clusters,
        "higher_is_better": info.better == "higher",
        "chance": level,
        "chance_low": low,
        "chance_high": high,
        "at_chance": at_chance,
    }


def cluster_sums(y_N: np.ndarray, x_N: np.ndarray, clusters: Clusters) -> tuple[np.ndarray, np.ndarray]:
    """Both columns added up by cluster, in the order in which clusters first appear; None: every item is its own."""
    if clusters is None:
        return y_N, x_N
    codes_N, groups = cluster_codes(clusters, len(y_N))
    return np.bincount(codes_N, y_N, groups), np.bincount(codes_N, x_N, groups)


def cluster_codes(clusters: Sequence[Any] | np.ndarray, items: int) -> tuple[np.ndarray, int]:
    """Cluster names as numbers 0 to G - 1 by first appearance, and G. ValueError: not one name an item."""
    names = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)
    if len(names) != items:
        raise ValueError(f"{items} items, {len(names)} cluster names")
    seen: dict[Any, int] = {}
    return np.array([seen.setdefault(name, len(seen)) for name in names], np.int64), len(seen)


def _design_effect(scores_N: np.ndarray, ratio: Ratio) -> float:
    """Clustered variance over that of as many independent items; 1 where either is zero."""
    plain = float(scores_N.var(ddof=1)) / len(scores_N) if len(scores_N) > 1 else 0.0
    return (ratio.standard_error or 0.0) ** 2 / plain if plain > 0 and ratio.standard_error else 1.0


def checked(values: Any, what: str) -> np.ndarray:
    """A float64 vector with at least one value, none NaN or infinite."""
    vector_N = np.asarray(values, np.float64)
    if vector_N.ndim != 1 or not len(vector_N):
        raise ValueError("no items")
    _refuse_nan(vector_N, what)
    return vector_N


def _refuse_nan(vector_N: np.ndarray, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(vector_N))
    if len(bad):
        raise ValueError(f"{what} {bad[0]} is {vector_N[bad[0]]} ({len(bad)} of {len(vector_N)} are not finite)")


def exp_of(value: float) -> float:
    """exp that ends at the largest float: JSON has no infinity."""
    return math.exp(min(value, 709.0))
