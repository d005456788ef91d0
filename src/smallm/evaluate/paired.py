"""Two models on the same items: difference, interval, test, flips, and what could have been detected.

The difference is b - a. Items are paired, so what makes an item hard for both models cancels (lm-eval's comparison is
unpaired: its issue #3831). Items of one cluster (a passage, a document) may depend on each other freely. Arrays in,
numbers out. Letters: N items, G clusters, S sufficient statistics of an item, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from smallm.evaluate.ratios import ratio_of_sums, sandwich, t_quantile
from smallm.evaluate.sign_flips import (
    RESAMPLES,
    Contrast,
    corpus_contrast,
    mean_contrast,
    ratio_contrast,
    sign_flip_p_values,
)
from smallm.evaluate.statistics import RESAMPLES as BOOTSTRAP
from smallm.evaluate.statistics import (
    Clusters,
    ScoreOfSums,
    checked,
    cluster_sums,
    corpus_sums,
    exp_of,
    resample_sums,
)

ALPHA, POWER = 0.05, 0.8
# An exact McNemar test of a difference that goes all one way needs 6 flips for p < 0.05, and an expectation of 7.9 to
# get them with probability 0.8 (Poisson).
LEAST_FLIPS, LEAST_EXPECTED_FLIPS = 6, 7.9


@dataclass(frozen=True)
class Paired:
    """`difference` = b - a with its interval; None where it cannot be known (one cluster).

    `p_value`: two-sided, of no difference. `mde`: the smallest true difference that such a comparison would find with
    probability 0.8 (at p < 0.05, uncorrected); None where none could be found. For 0/1 scores `a_only` counts items
    that a has right and b wrong, `b_only` the other way, `both`, `neither`; None for other scores.
    """

    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    p_value: float
    test: str
    items: int
    clusters: int
    mde: float | None
    a_only: int | None = None
    b_only: int | None = None
    both: int | None = None
    neither: int | None = None


@dataclass(frozen=True)
class PairedScores:
    """One task's item scores of both models, item by item. Arguments as those of `compare_paired`."""

    a_N: Any
    b_N: Any
    weights_N: Any = None
    clusters: Clusters = None
    binary: bool = False
    b_weights_N: Any = None
    transform: Literal["exp"] | None = None


@dataclass(frozen=True)
class PairedCorpus:
    """One task's sufficient statistics of both models, and `score`: sums_RS to the metric's values_R."""

    a_NS: Any
    b_NS: Any
    score: ScoreOfSums
    clusters: Clusters = None


def compare_paired(
    a_score_N: Any,
    b_score_N: Any,
    weights_N: Any = None,
    clusters: Clusters = None,
    *,
    binary: bool = False,
    b_weights_N: Any = None,
    transform: Literal["exp"] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Paired:
    """b - a of a mean, or of a ratio of sums where `weights_N` (denominators) are given.

    `b_weights_N`: where b's denominators are others than a's (tokens of two tokenizers). `transform` "exp": the figures
    are exponentials of the ratios (perplexity). `binary`: scores are 0 or 1.

    0/1 items without clusters: Tango's score interval (Statistics in Medicine 17, 1998) and the exact McNemar test
    (binomial, over the discordant items); with clusters Tango's interval at the effective number of items. Everything
    else: the t interval of ratios.sandwich. Tests but McNemar's are sign flips over clusters (sign_flips.py).
    ValueError: NaN, other values than 0 and 1 where `binary`, lengths that differ.
    """
    task = PairedScores(a_score_N, b_score_N, weights_N, clusters, binary, b_weights_N, transform)
    return compare_many([task], level=level, seed=seed)[0]


def compare_many(tasks: Sequence[PairedScores | PairedCorpus], *, level: float = 0.95, seed: int = 0) -> list[Paired]:
    """`compare_paired` of many tasks; all permutation tests share one matrix of random signs."""
    found = [_corpus(t, level, seed) if isinstance(t, PairedCorpus) else _scores(t, level) for t in tasks]
    open_ = [(i, contrast) for i, (_, contrast) in enumerate(found) if contrast is not None]
    results = [paired for paired, _ in found]
    tested = sign_flip_p_values([contrast for _, contrast in open_], seed=seed)
    for (i, contrast), (p, exact) in zip(open_, tested, strict=True):
        name = f"sign flips over {len(contrast.difference_GS)} {results[i].test}"
        how = "exact" if exact else f"{RESAMPLES:,} random patterns"
        results[i] = replace(results[i], p_value=p, test=f"{name}, {how}")
    return results


def interval_of(task: PairedScores, *, level: float = 0.95) -> Paired:
    """The comparison without its permutation test (p_value 1 then): difference, interval, flips."""
    return _scores(task, level)[0]


def _scores(task: PairedScores, level: float) -> tuple[Paired, Contrast | None]:
    """All but the p value of a permutation test; the contrast is None where the test is done already."""
    a, b = checked(task.a_N, "a's score"), checked(task.b_N, "b's score")
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} items, b has {len(b)}")
    if task.binary:
        return _binary(a, b, task.clusters, level)
    if task.weights_N is None:
        y_G, x_G = cluster_sums(b - a, np.ones(len(a)), task.clusters)
        ratio = ratio_of_sums(y_G, x_G)
        return _real(ratio.value, ratio.standard_error, ratio.df, len(a), len(x_G), task, level), mean_contrast(y_G)
    return _ratio(a, b, task, level)


def _ratio(a: np.ndarray, b: np.ndarray, task: PairedScores, level: float) -> tuple[Paired, Contrast | None]:
    """sum(b) / sum(b's x) - sum(a) / sum(a's x), linearised: each cluster's part of the error of both."""
    ax = checked(task.weights_N, "weight")
    bx = ax if task.b_weights_N is None else checked(task.b_weights_N, "b's weight")
    if not len(ax) == len(bx) == len(a):
        raise ValueError(f"{len(a)} items, {len(ax)} and {len(bx)} weights")
    ay_G, ax_G = cluster_sums(a, ax, task.clusters)
    by_G, bx_G = cluster_sums(b, bx, task.clusters)
    ra, rb = ratio_of_sums(ay_G, ax_G), ratio_of_sums(by_G, bx_G)
    scale_a, scale_b, difference = 1.0, 1.0, rb.value - ra.value
    if task.transform == "exp":
        scale_a, scale_b = exp_of(ra.value), exp_of(rb.value)
        difference = scale_b - scale_a
    share_G = ax_G / ax_G.sum() / 2 + bx_G / bx_G.sum() / 2
    residual_G = scale_b * (by_G - rb.value * bx_G) / bx_G.sum() - scale_a * (ay_G - ra.value * ax_G) / ax_G.sum()
    kept = share_G > 0
    error, df = sandwich(residual_G[kept], share_G[kept]) if kept.sum() > 1 else (None, None)
    same = np.array_equal(ax_G, bx_G)
    contrast = (
        mean_contrast(by_G - ay_G)
        if same
        else ratio_contrast(by_G - ay_G, bx_G - ax_G, float((ay_G + by_G).sum()), float((ax_G + bx_G).sum()))
    )
    return _real(difference, error, df, len(a), len(ax_G), task, level), contrast


def _real(
    difference: float, error: float | None, df: float | None, items: int, groups: int, task: PairedScores, level: float
) -> Paired:
    half = None if error is None or df is None else t_quantile(df, level) * error
    low, high = (None, None) if half is None else (difference - half, difference + half)
    unit = "items" if task.clusters is None or groups == items else "clusters"
    return Paired(difference, error, low, high, 1.0, unit, items, groups, _detectable(error, groups))


def _detectable(error: float | None, groups: int) -> float | None:
    """z.975 + z.8 standard errors; None where none is known, or even one sign in all clusters leaves p above 0.05."""
    if not error or 2.0 ** (1 - groups) > ALPHA:
        return None
    return float(ndtri(1 - ALPHA / 2) + ndtri(POWER)) * error


def _binary(a: np.ndarray, b: np.ndarray, clusters: Clusters, level: float) -> tuple[Paired, Contrast | None]:
    """0/1 scores: flips, Tango's interval, exact McNemar (no contrast left) or sign flips over clusters."""
    for name, scores in (("a", a), ("b", b)):
        if not np.isin(scores, (0.0, 1.0)).all():
            at = int(np.argmax(~np.isin(scores, (0.0, 1.0))))
            raise ValueError(f"{name}'s score {at} is {scores[at]}, a binary metric's is 0 or 1")
    n, a_only, b_only = len(a), int((a > b).sum()), int((b > a).sum())
    y_G, x_G = cluster_sums(b - a, np.ones(n), clusters)
    ratio, groups = ratio_of_sums(y_G, x_G), len(x_G)
    counts = {"a_only": a_only, "b_only": b_only, "both": int((a * b).sum())}
    counts["neither"] = n - sum(counts.values())
    paired = Paired(ratio.value, ratio.standard_error, None, None, 1.0, "clusters", n, groups, None, **counts)
    whole = groups == n
    if ratio.standard_error is None or ratio.df is None:
        return paired, mean_contrast(y_G)
    plain = ((a_only + b_only) / n - ratio.value**2) / n
    clustered = ratio.standard_error**2
    effective = float(n)
    if not whole:  # as many independent items as give the clusters' error; without any spread the clusters
        effective = n * plain / clustered if plain > 0 and clustered > 1e-24 else float(groups)
    quantile = t_quantile(math.inf if whole else ratio.df, level)
    low, high = tango(b_only / n * effective, a_only / n * effective, effective, quantile)
    # Half a flip more each way (Agresti and Min, Statistics in Medicine 24, 2005): no flips is not no error.
    flips = (a_only + b_only) / n * effective
    spread = (flips + 1) / (effective + 2) - ratio.value**2
    mde = _detectable(math.sqrt(max(spread, 0.0) / (effective + 2)), groups)
    mde = None if mde is None or n < LEAST_FLIPS else min(1.0, max(mde, LEAST_EXPECTED_FLIPS / effective))
    paired = replace(paired, low=low, high=high, mde=mde)
    if not whole:
        return paired, mean_contrast(y_G)
    return replace(paired, p_value=mcnemar(a_only, b_only), test="exact McNemar test"), None


def mcnemar(a_only: int, b_only: int) -> float:
    """The exact two-sided McNemar test (Psychometrika 12, 1947): the flips are fair coins, by scipy's binomtest."""
    from scipy.stats import binomtest

    flips = a_only + b_only
    return float(binomtest(b_only, flips, 0.5).pvalue) if flips else 1.0


def tango(b_only: float, a_only: float, items: float, quantile: float) -> tuple[float, float]:
    """Tango's score interval of the difference (b_only - a_only) / items of two paired shares; counts may be fractions.

    The differences D that a score test does not refuse: |b_only - a_only - items D| <= quantile * sqrt(items (2 q + D
    (1 - D))), q the share of a_only under D by maximum likelihood. From 200 items on it covers 94.4 to 95.8 % where
    flips are 2 % or more, t on the differences 93.4 (all flips one way), and it has a width where no item flips.
    """
    d = (b_only - a_only) / items

    def score(D: float) -> float:
        linear = -b_only - a_only + (2 * items - b_only + a_only) * D
        root = max(linear**2 + 8 * items * a_only * D * (1 - D), 0.0)
        q = (math.sqrt(root) - linear) / (4 * items)
        variance = items * (2 * q + D * (1 - D))
        return (b_only - a_only - items * D) / math.sqrt(max(variance, 1e-300))

    edge = 1 - 1e-9  # at -1 and 1 the variance is 0
    low = brentq(lambda D: score(D) - quantile, -edge, d) if d > -edge and score(-edge) > quantile else -1.0
    high = brentq(lambda D: score(D) + quantile, d, edge) if d < edge and score(edge) < -quantile else 1.0
    return float(low), float(high)  # type: ignore[arg-type]


def _corpus(task: PairedCorpus, level: float, seed: int) -> tuple[Paired, Contrast | None]:
    """Paired bootstrap for the error (both models on the same resampled clusters), sign flips for the test."""
    a_GS, b_GS = corpus_sums(task.a_NS, task.clusters), corpus_sums(task.b_NS, task.clusters)
    if a_GS.shape != b_GS.shape:
        raise ValueError(f"statistics of a are {a_GS.shape}, of b {b_GS.shape}")
    items, (groups, width) = len(task.a_NS), a_GS.shape
    unit = "items" if groups == items else "clusters"
    difference = float((task.score(b_GS.sum(0, keepdims=True)) - task.score(a_GS.sum(0, keepdims=True)))[0])
    contrast = corpus_contrast(a_GS, b_GS, task.score)
    if groups < 2:
        return Paired(difference, None, None, None, 1.0, unit, items, groups, None), contrast
    sums_RS = resample_sums(np.concatenate([a_GS, b_GS], 1), BOOTSTRAP, seed)
    error = float(np.std(task.score(sums_RS[:, width:]) - task.score(sums_RS[:, :width]), ddof=1))
    half = t_quantile(groups - 1, level) * error
    mde = _detectable(error, groups)
    return Paired(difference, error, difference - half, difference + half, 1.0, unit, items, groups, mde), contrast


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Scandinavian Journal of Statistics 6, 1979), in the order given.

    Refusing where they are below alpha keeps the chance of any false alarm among all tasks below alpha.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, running = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return adjusted


def false_discovery(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p values (scipy): below alpha, at most that share of the finds is false."""
    from scipy.stats import false_discovery_control

    return [float(q) for q in false_discovery_control(np.asarray(p, np.float64))] if len(p) else []
