"""Laws of paired comparisons: scipy and sacrebleu as references, published figures, symmetries, ties, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest
from scipy import stats

from smallm.evaluate.paired import (
    Paired,
    PairedCorpus,
    PairedScores,
    compare_many,
    compare_paired,
    false_discovery,
    holm,
    mcnemar,
    tango,
)
from smallm.evaluate.sign_flips import (
    EXACT_CLUSTERS,
    Contrast,
    corpus_contrast,
    mean_contrast,
    ratio_contrast,
    sign_flip_p_values,
)
from smallm.evaluate.statistics import estimate_mean, estimate_ratio
from smallm.evaluate.text_metrics import TextScore

Z = 1.959963984540054


def p_of(contrast: Contrast, **options: int) -> float:
    return sign_flip_p_values([contrast], **options)[0][0]


def answers(n: int, a_only: int, b_only: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    """0/1 scores with these counts; the rest is wrong in both."""
    a, b = np.zeros(n), np.zeros(n)
    a[: a_only + both] = 1
    b[a_only : a_only + both + b_only] = 1
    return a, b


def test_what_an_unpaired_comparison_misses_is_found():
    """lm-eval #3831 and #3868: n = 220, its z test of two accuracies gives p = .080 where McNemar's gives .008."""
    a, b = answers(220, 12, 30, 110)
    errors = [estimate_mean(x, binary=True).standard_error or 0.0 for x in (a, b)]
    unpaired = 2 * stats.norm.sf((b.mean() - a.mean()) / math.hypot(*errors))
    paired = compare_paired(a, b, binary=True)
    assert unpaired == pytest.approx(0.080, abs=5e-4)
    assert paired.p_value == pytest.approx(0.008, abs=5e-4)
    assert paired.low is not None
    assert paired.low > 0
    assert (paired.a_only, paired.b_only, paired.both, paired.neither) == (12, 30, 110, 68)


def test_tangos_interval_is_the_published_one():
    """Airway reactivity, 21 children: 1 and 7 discordant pairs (Fagerland, Lydersen and Laake, Stat. Med. 33, 2014)."""
    assert tango(1, 7, 21, Z) == pytest.approx((-0.517, -0.026), abs=5e-4)


@given(n=st.integers(1, 300), data=st.data())
def test_tangos_interval_holds_the_difference_and_stays_within_one(n: int, data: st.DataObject):
    b_only = data.draw(st.integers(0, n))
    a_only = data.draw(st.integers(0, n - b_only))
    low, high = tango(b_only, a_only, n, Z)
    assert -1 <= low <= (b_only - a_only) / n <= high <= 1
    assert high - low > 0
    assert tango(a_only, b_only, n, Z) == pytest.approx((-high, -low), abs=1e-7)


@given(a_only=st.integers(0, 40), b_only=st.integers(0, 40))
def test_mcnemars_p_value_is_the_sum_over_fair_coins(a_only: int, b_only: int):
    n, far = a_only + b_only, abs(a_only - b_only)
    expected = sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= far) / 2**n
    assert mcnemar(a_only, b_only) == pytest.approx(expected)


@given(
    a=st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=60),
    seed=st.integers(0, 100),
    clustered=st.booleans(),
    binary=st.booleans(),
)
def test_exchanging_the_models_turns_the_sign_and_nothing_else(
    a: list[float], seed: int, clustered: bool, binary: bool
):
    rng = np.random.default_rng(seed)
    b = rng.integers(0, 2, len(a)).astype(float)
    clusters = (np.arange(len(a)) // 3).tolist() if clustered else None
    one, other = (compare_paired(x, y, None, clusters, binary=binary) for x, y in ((a, b), (b, a)))
    assert other.difference == pytest.approx(-one.difference)
    assert other.p_value == pytest.approx(one.p_value)
    assert (other.a_only, other.b_only) == (one.b_only, one.a_only)
    if one.low is not None and one.high is not None:
        assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-7)


def test_a_model_against_itself_differs_in_nothing():
    a = np.random.default_rng(1).integers(0, 2, 100).astype(float)
    x = np.arange(1.0, 101)
    for paired in (
        compare_paired(a, a, binary=True),
        compare_paired(a, a, None, np.arange(100) // 4, binary=True),
        compare_paired(a + 0.5, a + 0.5),
        compare_paired(a + x, a + x, x),
    ):
        assert (paired.difference, paired.p_value, paired.standard_error) == (0, 1, 0)
        # Without any flip the flips' law still says what would show; without any spread nothing does.
        assert (paired.mde is None) == (paired.a_only is None)


def test_no_flip_among_few_items_does_not_mean_no_error():
    paired = compare_paired(np.ones(30), np.ones(30), binary=True)
    assert paired.low is not None
    assert paired.high is not None
    assert paired.low < -0.05
    assert paired.high > 0.05
    assert paired.mde == pytest.approx(7.9 / 30)


def test_the_difference_of_means_has_scipys_paired_t_interval():
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 1, 50), rng.normal(0.2, 1, 50)
    paired, reference = compare_paired(a, b), stats.ttest_rel(b, a).confidence_interval(0.95)
    assert (paired.low, paired.high) == pytest.approx((reference.low, reference.high))


def test_sign_flips_are_scipys_permutation_test():
    d = np.random.default_rng(3).normal(0.3, 1, 12)
    reference = stats.permutation_test((d, np.zeros(12)), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert p_of(mean_contrast(d)) == pytest.approx(reference.pvalue)


def test_random_patterns_come_to_the_exact_p_value():
    d = np.random.default_rng(4).normal(0.35, 1, EXACT_CLUSTERS + 4)
    patterns = np.array(list(itertools.product((-1, 1), repeat=len(d))))
    exact = float((np.abs(patterns @ d) >= abs(d.sum()) - 1e-9).mean())
    p, is_exact = sign_flip_p_values([mean_contrast(d)], resamples=40_000)[0]
    assert not is_exact
    # Five standard deviations of 40,000 draws.
    assert p == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / 40_000))


def test_clusters_that_do_not_differ_change_no_p_value():
    d = np.random.default_rng(5).normal(0.5, 1, 10)
    assert p_of(mean_contrast(np.concatenate([d, np.zeros(500)]))) == p_of(mean_contrast(d))


def test_a_task_gets_its_p_value_whatever_it_is_tested_with():
    rng = np.random.default_rng(6)
    small = [PairedScores(rng.random(10), rng.random(10)) for _ in range(3)]
    alone = [compare_many([task])[0] for task in small]
    assert compare_many([*small, PairedScores(rng.random(200), rng.random(200))])[:3] == alone


def test_ties_are_as_extreme_as_what_was_seen():
    """Integers: many patterns have the observed sum; leaving them out would make p too small."""
    d = np.array([1.0] * 9 + [-1.0] * 3)
    expected = sum(math.comb(12, k) for k in range(13) if abs(12 - 2 * k) >= 6) / 2**12
    assert p_of(mean_contrast(d)) == pytest.approx(expected)
    many = np.tile(d, 5) / 3  # thirds are no floats: rounding must not break the ties
    exact = mcnemar(15, 45)
    assert p_of(mean_contrast(many), resamples=200_000) == pytest.approx(exact, abs=5 * math.sqrt(exact / 200_000))


def test_the_least_p_value_of_few_clusters_is_too_large_and_so_nothing_is_detectable():
    paired = compare_paired(np.zeros(40), np.ones(40), None, np.arange(40) // 8, binary=True)
    assert paired.clusters == 5
    assert paired.p_value == pytest.approx(2 / 2**5)
    assert paired.mde is None
    assert paired.test == "sign flips over 5 clusters, exact"


def test_one_cluster_shows_nothing():
    paired = compare_paired([0, 1, 0], [1, 1, 1], None, ["a"] * 3, binary=True)
    assert (paired.standard_error, paired.low, paired.high, paired.p_value, paired.mde) == (None, None, None, 1, None)


def test_items_of_one_passage_that_flip_together_are_one_piece_of_evidence():
    a, b = answers(100, 0, 20, 40)
    alone = compare_paired(a, b, binary=True)
    clustered = compare_paired(a, b, None, [f"passage {i // 10}" for i in range(100)], binary=True)
    assert alone.p_value < 1e-5
    assert clustered.p_value == pytest.approx(0.5)  # two passages
    assert (clustered.standard_error or 0) > 2 * (alone.standard_error or 0)


def test_bits_per_byte_are_compared_by_document():
    rng = np.random.default_rng(7)
    size = np.round(rng.lognormal(6, 0.7, 80))
    a = size * (2 + rng.normal(0, 0.3, 80))
    b = a - size * (0.05 + rng.normal(0, 0.02, 80))
    paired = compare_paired(a, b, size)
    difference = estimate_ratio(b - a, size)
    assert paired.difference == pytest.approx(estimate_ratio(b, size).value - estimate_ratio(a, size).value)
    assert (paired.low, paired.high) == pytest.approx((difference.low, difference.high))
    assert paired.p_value == pytest.approx(1e-4)
    # Unpaired, the documents' own spread hides it.
    errors = [estimate_ratio(y, size).standard_error or 0.0 for y in (a, b)]
    assert abs(paired.difference) / math.hypot(*errors) < 1.5


def test_ratios_with_equal_denominators_are_the_same_by_both_ways():
    rng = np.random.default_rng(8)
    x, a, b = rng.lognormal(0, 1, 30), rng.normal(5, 1, 30), rng.normal(5, 1, 30)
    general = ratio_contrast(b - a, np.zeros(30), float((a + b).sum()), float(2 * x.sum()))
    assert p_of(mean_contrast(b - a)) == p_of(general)


def test_perplexities_of_two_tokenizers_are_compared_though_their_tokens_differ():
    rng = np.random.default_rng(9)
    nats, tokens = rng.lognormal(5, 0.3, 60), rng.lognormal(4, 0.3, 60)
    paired = compare_paired(nats, nats * 1.02, tokens, b_weights_N=tokens * 1.2, transform="exp")
    values = [math.exp(n.sum() / t.sum()) for n, t in ((nats, tokens), (nats * 1.02, tokens * 1.2))]
    assert paired.difference == pytest.approx(values[1] - values[0])
    assert paired.high is not None
    assert paired.high < 0
    assert paired.p_value < 0.001


# ---- corpus metrics ------------------------------------------------------------------------------------------------

WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "quickly", "today", "and", "but"]


def sentences(n: int, change: float, seed: int) -> tuple[list[str], list[str]]:
    """(references, answers): each word of an answer is another with this probability."""
    rng, other = np.random.default_rng(20), np.random.default_rng(seed)
    references = [[WORDS[i] for i in rng.integers(0, len(WORDS), 9)] for _ in range(n)]
    changed = [[w if other.random() > change else WORDS[other.integers(len(WORDS))] for w in row] for row in references]
    return [" ".join(row) for row in references], [" ".join(row) for row in changed]


def bleu_task(a: list[str], b: list[str], references: list[str], clusters: list[int] | None = None) -> PairedCorpus:
    scorer = TextScore("bleu")
    rows = [scorer.statistics(text, [[r] for r in references]) for text in (a, b)]
    return PairedCorpus(rows[0], rows[1], scorer.score, clusters)


def test_bleus_difference_and_p_value_are_sacrebleus():
    references, a = sentences(120, 0.30, 1)
    _, b = sentences(120, 0.26, 2)
    (paired,) = compare_many([bleu_task(a, b, references)])
    _, found = PairedTest([("a", a), ("b", b)], {"BLEU": BLEU()}, [references], test_type="ar", n_samples=5000)()
    first, second = found["BLEU"]
    assert paired.difference == pytest.approx(second.score - first.score)  # type: ignore[union-attr]
    p = float(second.p_value or 0)  # type: ignore[union-attr]
    # Two random approximations of one p value: five standard deviations.
    assert paired.p_value == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) * (1 / 5000 + 1 / 9999)))
    assert 0.001 < p < 0.5


def test_systems_that_differ_in_one_sentence_are_not_told_apart_though_sacrebleu_does():
    references, a = sentences(50, 0.2, 3)
    place = next(i for i in range(50) if a[i] != references[i])
    b = [references[i] if i == place else a[i] for i in range(50)]
    (paired,) = compare_many([bleu_task(a, b, references)])
    _, found = PairedTest([("a", a), ("b", b)], {"BLEU": BLEU()}, [references], test_type="ar", n_samples=1000)()
    assert found["BLEU"][1].p_value < 0.002  # type: ignore[union-attr]
    assert paired.difference != 0
    assert paired.p_value == 1
    assert paired.test == "sign flips over 50 items, exact"


def test_sentences_of_one_document_count_as_one_in_bleu_too():
    references, a = sentences(40, 0.4, 4)
    _, b = sentences(40, 0.1, 5)
    alone, documents = compare_many(
        [bleu_task(a, b, references), bleu_task(a, b, references, [i // 10 for i in range(40)])]
    )
    assert alone.p_value < 0.001
    assert documents.p_value == pytest.approx(2 / 2**4)
    assert documents.clusters == 4
    assert documents.mde is None


def test_swapping_in_sums_is_swapping_the_items():
    """The statistic of a pattern is the score of the items that it gives to each side."""
    rng = np.random.default_rng(10)
    a, b = rng.integers(0, 5, (6, 3)).astype(float), rng.integers(0, 5, (6, 3)).astype(float)

    def score(sums: np.ndarray) -> np.ndarray:
        return sums[:, 0] / (1 + sums[:, 1]) + np.sqrt(sums[:, 2])

    contrast = corpus_contrast(a, b, score)
    seen = abs(score(b.sum(0)[None]) - score(a.sum(0)[None]))[0]
    extreme = 0
    for signs in itertools.product((False, True), repeat=6):
        keep = np.array(signs)[:, None]
        x, y = np.where(keep, a, b).sum(0), np.where(keep, b, a).sum(0)
        extreme += abs(score(y[None]) - score(x[None]))[0] >= seen - 1e-9
    assert p_of(contrast) == pytest.approx(extreme / 2**6)


# ---- several tasks -------------------------------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_lies_between_the_raw_value_and_bonferronis(p: list[float]):
    adjusted = holm(p)
    for raw, value in zip(p, adjusted, strict=True):
        assert raw <= value <= min(1.0, len(p) * raw) + 1e-12
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
    assert all(q <= h + 1e-12 for q, h in zip(false_discovery(p), adjusted, strict=True))


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([0.0, math.nan], [0.0, 1.0], {}, "a's score 1 is nan"),
        ([0.0, 1.0], [math.inf, 1.0], {}, "b's score 0 is inf"),
        ([0.0, 1.0], [1.0], {}, "a has 2 items, b has 1"),
        ([0.0, 0.5], [1.0, 1.0], {"binary": True}, r"a's score 1 is 0\.5"),
        ([1.0, 2.0], [1.0, 2.0], {"weights_N": [1.0]}, "2 items, 1 and 1 weights"),
        ([1.0, 2.0], [1.0, 2.0], {"weights_N": [1.0, math.nan]}, "weight 1 is nan"),
        ([1.0, 2.0], [1.0, 2.0], {"clusters": ["x"]}, "2 items, 1 cluster names"),
        ([], [], {}, "no items"),
    ],
)
def test_what_cannot_be_compared_is_refused(a: list[float], b: list[float], options: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        compare_paired(a, b, **options)  # type: ignore[arg-type]


def test_paired_results_are_plain_numbers():
    rng = np.random.default_rng(11)
    for paired in compare_many(
        [PairedScores(rng.random(20), rng.random(20)), PairedScores(*answers(30, 3, 5, 9), binary=True)]
    ):
        for name in Paired.__dataclass_fields__:
            assert type(getattr(paired, name)) in (float, int, str, type(None)), name
