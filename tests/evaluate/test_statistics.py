"""Laws of estimates: known answers, scipy and scikit-learn as references, clusters, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from smallm.evaluate.metrics import metric_info
from smallm.evaluate.ratios import _working_variance, ratio_of_sums, sandwich, share_with_interval, wilson
from smallm.evaluate.statistics import (
    chance_interval,
    estimate_corpus,
    estimate_mean,
    estimate_ratio,
    figure,
    resample_sums,
)
from smallm.evaluate.text_metrics import macro_f1, macro_f1_statistics

RNG = np.random.default_rng(0)


def test_the_mean_of_real_scores_has_scipys_t_interval():
    scores = RNG.normal(3, 2, 40)
    estimate = estimate_mean(scores)
    expected = stats.t.interval(0.95, 39, scores.mean(), stats.sem(scores))
    assert (estimate.low, estimate.high) == pytest.approx(expected)
    assert estimate.standard_error == pytest.approx(stats.sem(scores))


@given(n=st.integers(2, 400), data=st.data())
def test_the_accuracy_of_independent_items_has_scipys_wilson_interval(n: int, data: st.DataObject):
    k = data.draw(st.integers(0, n))
    estimate = estimate_mean(np.arange(n) < k, binary=True)
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1  # type: ignore[operator]


def test_clusters_of_one_are_no_clusters():
    scores = (RNG.random(50) < 0.3).astype(float)
    assert estimate_mean(scores, list(range(50)), binary=True) == estimate_mean(scores, binary=True)


def test_the_order_of_the_items_and_the_names_of_the_clusters_do_not_matter():
    scores, codes = RNG.random(60), np.repeat(np.arange(12), 5)
    order = RNG.permutation(60)
    a = estimate_mean(scores, codes)
    b = estimate_mean(scores[order], [f"passage {c}" for c in codes[order]])
    assert (b.value, b.standard_error, b.low) == pytest.approx((a.value, a.standard_error, a.low))


def test_copies_of_each_item_in_its_cluster_add_nothing():
    """Ten copies of each of 30 items: the error is that of 30 items, and the design effect is 10."""
    scores = (RNG.random(30) < 0.4).astype(float)
    copied = estimate_mean(np.repeat(scores, 10), np.repeat(np.arange(30), 10), binary=True)
    alone = estimate_mean(scores, binary=True)
    assert copied.standard_error == pytest.approx(alone.standard_error)
    # the t quantile of 29 degrees of freedom in place of the normal's
    assert alone.low > copied.low > alone.low - 0.02  # type: ignore[operator]
    assert copied.design_effect == pytest.approx(10, rel=0.04)


def test_sums_by_cluster_give_the_interval_of_the_items():
    codes = np.repeat(np.arange(20), RNG.integers(1, 9, 20))
    right = (RNG.random(len(codes)) < 0.6).astype(float)
    estimate = estimate_mean(right, codes, binary=True)
    counts, sizes = np.bincount(codes, right), np.bincount(codes)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(share_with_interval(counts, sizes))


@given(n=st.integers(2, 40), seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_the_sandwich_is_its_dense_definition(n: int, seed: int, scale: float):
    rng = np.random.default_rng(seed)
    x = rng.lognormal(0, 1, n)
    y = scale * (x + rng.normal(0, 1, n) * x)
    share, residual = x / x.sum(), (y - y.sum() / x.sum() * x) / x.sum()
    v = _working_variance(residual**2, share)
    project = np.eye(n) - np.outer(share, np.ones(n))
    covariance = project @ np.diag(v) @ project.T
    a = v / np.diag(covariance)
    b = np.sqrt(np.outer(a, a)) * covariance
    error, df = sandwich(residual, share)
    assert error == pytest.approx(math.sqrt((a * residual**2).sum()))
    assert df == pytest.approx(max(1.0, np.trace(b) ** 2 / np.trace(b @ b)), rel=1e-6)


@given(n=st.integers(2, 200))
def test_equal_clusters_have_one_degree_of_freedom_less_than_there_are(n: int):
    residual = np.random.default_rng(n).normal(0, 1, n)
    residual -= residual.mean()
    error, df = sandwich(residual / n, np.full(n, 1 / n))
    assert df == pytest.approx(n - 1)
    assert error == pytest.approx(residual.std(ddof=1) / math.sqrt(n))


def test_six_long_documents_among_hundreds_of_short_ones_carry_few_degrees_of_freedom():
    x = np.array([1000.0] * 6 + [1.0] * 300)
    df = ratio_of_sums(x * (1 + 0.1 * RNG.normal(0, 1, 306)), x).df
    assert df is not None
    assert df < 10


def test_one_cluster_has_no_error_and_no_interval():
    for estimate in (
        estimate_mean([1, 0, 1], ["a"] * 3, binary=True),
        estimate_mean([0.5]),
        estimate_ratio([3.0], [2.0]),
        estimate_corpus([[1.0, 2.0]] * 3, lambda sums: sums[:, 0] / sums[:, 1], ["a"] * 3),
    ):
        assert (estimate.standard_error, estimate.low, estimate.high, estimate.clusters) == (None, None, None, 1)


def test_perplexity_is_the_exponential_of_the_interval_of_nats():
    nats, tokens = RNG.normal(200, 20, 30), np.full(30, 100.0)
    plain, exp = estimate_ratio(nats, tokens), estimate_ratio(nats, tokens, transform="exp")
    assert (exp.value, exp.low, exp.high) == pytest.approx(
        tuple(math.exp(x) for x in (plain.value, plain.low or 0, plain.high or 0))
    )
    assert exp.standard_error == pytest.approx(exp.value * (plain.standard_error or 0))


def test_a_hopeless_perplexity_is_the_largest_float_and_not_infinity():
    estimate = estimate_ratio([1e6, 2e6], [1.0, 1.0], transform="exp")
    assert all(math.isfinite(x) for x in (estimate.value, estimate.low, estimate.high) if x is not None)


def test_a_document_without_bytes_and_bits_counts_for_nothing():
    with_empty = estimate_ratio([3.0, 0.0, 5.0, 2.0], [1.0, 0.0, 2.0, 1.0])
    without = estimate_ratio([3.0, 5.0, 2.0], [1.0, 2.0, 1.0])
    assert (with_empty.value, with_empty.standard_error) == (without.value, without.standard_error)
    with pytest.raises(ValueError, match="zero where its y is not"):
        estimate_ratio([3.0, 1.0], [1.0, 0.0])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused_by_position(bad: float):
    with pytest.raises(ValueError, match="score 2 is"):
        estimate_mean([0.0, 1.0, bad])
    with pytest.raises(ValueError, match="denominator 1 is"):
        estimate_ratio([0.0, 1.0], [1.0, bad])
    with pytest.raises(ValueError, match="statistics 0 is"):
        estimate_corpus([[bad, 1.0], [1.0, 1.0]], lambda sums: sums[:, 0])


def test_other_values_than_right_and_wrong_are_refused_where_a_metric_is_binary():
    with pytest.raises(ValueError, match=r"score 1 is 0\.5"):
        estimate_mean([1.0, 0.5], binary=True)
    with pytest.raises(ValueError, match="no items"):
        estimate_mean([])
    with pytest.raises(ValueError, match="3 items, 2 cluster names"):
        estimate_mean([1.0, 2.0, 3.0], ["a", "b"])


def test_macro_f1_of_all_items_is_scikit_learns_and_its_error_scipys_bootstrap():
    gold = RNG.choice(3, 200, p=[0.6, 0.3, 0.1])
    said = np.where(RNG.random(200) < 0.7, gold, RNG.integers(0, 3, 200))
    rows = macro_f1_statistics(gold.tolist(), said.tolist(), 3)
    estimate = estimate_corpus(rows, macro_f1, resamples=4000)
    assert estimate.value == pytest.approx(f1_score(gold, said, average="macro"))

    def of_rows(index: np.ndarray, axis: int = -1) -> np.ndarray:
        return macro_f1(rows[index].sum(1 if index.ndim > 1 else 0, keepdims=index.ndim == 1))

    reference = stats.bootstrap((np.arange(200),), of_rows, n_resamples=4000, method="percentile", batch=500, rng=1)
    # Two standard deviations, each known to 1.1 %: 6 % is four of theirs.
    assert estimate.standard_error == pytest.approx(reference.standard_error, rel=0.06)


def test_resampling_draws_whole_clusters_with_their_number_kept():
    sums = resample_sums(np.eye(7), 300, seed=0)
    assert (sums.sum(1) == 7).all()
    assert sums.mean() == pytest.approx(1.0)
    again = estimate_corpus(np.eye(7), lambda s: s[:, 0])
    assert again == estimate_corpus(np.eye(7), lambda s: s[:, 0])


@given(n=st.integers(5, 300), k=st.integers(2, 6))
def test_the_interval_of_a_guesser_is_the_binomial_one(n: int, k: int):
    chance, low, high = chance_interval([k] * n)
    expected = stats.binom.interval(0.95, n, 1 / k)
    assert chance == pytest.approx(1 / k)
    assert (low * n, high * n) == pytest.approx(expected)


def test_clusters_widen_the_interval_of_a_guesser_up_to_their_size():
    choices, codes = [4] * 200, np.repeat(np.arange(40), 5)
    alone, worst = chance_interval(choices), chance_interval(choices, codes)
    some = chance_interval(choices, codes, design_effect=2.0)
    widths = [high - low for _, low, high in (alone, some, worst)]
    assert widths[0] < widths[1] < widths[2]
    assert worst[1:] == chance_interval([4] * 40)[1:]
    assert chance_interval(choices, codes, design_effect=99.0) == worst
    assert chance_interval(choices, codes, design_effect=0.3) == alone


def test_no_choice_is_no_guess():
    with pytest.raises(ValueError, match="item 1 has 0 choices"):
        chance_interval([4, 0])


def test_a_figure_says_whether_guessing_would_give_it():
    info, chance = metric_info("acc"), chance_interval([4] * 100)
    good = figure(estimate_mean(np.arange(100) < 60, binary=True), info, chance)
    poor = figure(estimate_mean(np.arange(100) < 28, binary=True), info, chance)
    unknown = figure(estimate_mean(np.arange(100) < 28, binary=True), info)
    assert (good["at_chance"], poor["at_chance"], unknown["at_chance"]) == (False, True, None)
    assert good["chance"] == 0.25
    assert unknown["chance"] is None
    assert good["higher_is_better"] is True
    assert figure(estimate_ratio([1.0, 2.0], [1.0, 1.0]), metric_info("bits_per_byte"))["higher_is_better"] is False


def test_wilson_needs_no_item_wrong_to_leave_room_for_one():
    assert wilson(1.0, 20, 1.96)[0] == pytest.approx(20 / (20 + 1.96**2))
    assert wilson(1.0, 20, 1.96)[1] == 1.0
