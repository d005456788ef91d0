"""Error bars of ratios: known answers, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from smallm.evaluate.ratios import ratio_of_sums, share_with_interval


def test_equal_documents_give_the_textbook_error_of_a_mean():
    y = np.array([1.0, 2.0, 3.0, 4.0])
    ratio = ratio_of_sums(y, np.ones(4))
    assert ratio.value == pytest.approx(2.5)
    assert ratio.standard_error == pytest.approx(y.std(ddof=1) / 2)


def test_a_constant_ratio_has_no_error_however_long_the_documents():
    x = np.array([10.0, 1000.0, 3.0])
    assert ratio_of_sums(2 * x, x).standard_error == pytest.approx(0.0, abs=1e-12)


def test_one_document_has_no_known_error():
    ratio = ratio_of_sums(np.array([3.0]), np.array([2.0]))
    assert (ratio.value, ratio.standard_error, ratio.interval()) == (1.5, None, None)


def test_nothing_to_divide_by_is_refused():
    with pytest.raises(ValueError, match="positive"):
        ratio_of_sums(np.zeros(3), np.zeros(3))


def test_the_interval_of_a_ratio_covers_the_truth_about_95_times_in_100():
    # 2,000 corpora of 200 documents of log-normal length; binomial s.d. of the coverage is 0.5 %,
    # so a false alarm outside 93.5 to 96.5 % has p < 0.003 for an exact 95 % interval.
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(6, 0.5, (2000, 200))
    rates = 2.0 + rng.normal(0, 0.3, lengths.shape)
    hits = 0
    for y, x in zip(lengths * rates, lengths, strict=True):
        low, high = ratio_of_sums(y, x).interval() or (0, 0)
        hits += low <= 2.0 <= high
    assert 0.935 <= hits / 2000 <= 0.965


@pytest.mark.parametrize("accepted", [0, 10])
def test_a_share_of_none_or_all_still_has_an_interval_inside_zero_and_one(accepted: int):
    share, low, high = share_with_interval(np.full(20, accepted), np.full(20, 10))
    assert share == accepted / 10
    assert 0 <= low <= share <= high <= 1
    assert high - low > 0.05


def test_clusters_that_agree_within_themselves_widen_the_interval():
    alone = share_with_interval(np.tile([5, 5], 50), np.full(100, 10))
    clustered = share_with_interval(np.tile([0, 10], 50), np.full(100, 10))
    assert clustered[2] - clustered[1] > 2 * (alone[2] - alone[1]) * 0.5
    assert clustered[0] == alone[0] == 0.5
