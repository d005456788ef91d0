"""The verdict: its words follow the paired test, how many items more would do, what beats a table of examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallm.evaluate.compare import verdict as compared
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.paired import Paired, compare_paired
from smallm.finetune import verdict as v


def row(paired: Paired, metric: str, a: float, b: float) -> dict[str, Any]:
    """The row of a comparison of one task."""
    info = metric_info(metric)
    figures = [{"value": x, "at_chance": None} for x in (a, b)]
    return {
        "metric": metric, "higher_is_better": info.higher_is_better, "a": figures[0], "b": figures[1],
        "difference": paired.difference, "standard_error": paired.standard_error, "low": paired.low,
        "high": paired.high, "items": paired.items, "minimum_detectable": paired.mde,
        "verdict": compared(paired.difference, paired.p_value, figures, info),
    }  # fmt: skip


def real(difference: float, spread: float, n: int, metric: str = "f1", seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    a = rng.normal(0.5, 0.1, n)
    b = a + rng.normal(0, spread, n)
    b += difference - (b - a).mean()
    return row(compare_paired(a, b), metric, float(a.mean()), float(b.mean()))


def test_better_and_worse_are_by_the_metrics_direction():
    assert v.verdict_word(real(0.3, 0.1, 60)) == "better"
    assert v.verdict_word(real(-0.3, 0.1, 60)) == "worse"
    assert v.verdict_word(real(-0.3, 0.1, 60, "bits_per_byte")) == "better"
    assert v.verdict_word(real(0.3, 0.1, 60, "bits_per_byte")) == "worse"
    assert v.verdict_word(real(0.001, 0.3, 20)) == "cannot tell"


def test_two_guessers_are_at_chance_whatever_their_difference():
    found = v.chance_of({"value": 0.24}, {"value": 0.27}, (0.25, 0.2, 0.3))
    assert v.verdict_word(real(0.3, 0.1, 60), chance=found) == "at chance"
    found = v.chance_of({"value": 0.24}, {"value": 0.9}, (0.25, 0.2, 0.3))
    assert v.verdict_word(real(0.3, 0.1, 60), chance=found) == "better"


@settings(max_examples=60, deadline=None)
@given(st.floats(0.005, 0.05), st.integers(12, 80), st.integers(1, 4), st.sampled_from([-1, 1]))
def test_with_so_many_items_the_observed_difference_is_the_least_that_would_be_detected(
    size: float, n: int, tests: int, sign: int
):
    found = real(sign * size, 0.3, n)
    needed = v.needed_items(found, tests)
    assert needed is not None
    assert needed["more"] == needed["items"] - n >= 1
    if needed["items"] == n + 1:
        return  # more items than asked for are there already
    error = found["standard_error"] * math.sqrt(n / needed["items"])
    z = size / error
    from scipy.special import ndtr, ndtri

    power = float(ndtr(z - ndtri(1 - 0.05 / (2 * tests))))
    assert 0.8 <= power <= 0.81


def test_more_tests_need_more_items():
    found = real(0.02, 0.3, 50)
    counts = [(v.needed_items(found, tests) or {})["items"] for tests in (1, 2, 3)]
    assert counts == sorted(set(counts))


def test_the_number_holds_in_simulation():
    """Of a true difference of .04 at so many items as were said, about 4 of 5 comparisons see it."""
    found = real(0.04, 0.3, 40)
    needed = (v.needed_items(found) or {})["items"]
    spread = found["standard_error"] * math.sqrt(40)
    seen = 0
    for seed in range(400):
        d = np.random.default_rng(seed).normal(0.04, spread, needed)
        seen += abs(d.mean()) > 1.96 * d.std(ddof=1) / math.sqrt(needed)
    assert 0.74 <= seen / 400 <= 0.86  # 3 standard errors of a share of .8 in 400


def test_a_binary_metric_needs_enough_flips_for_the_exact_test():
    a, b = np.zeros(40), np.zeros(40)
    b[:3] = 1  # all one way: the error alone would ask for few
    needed = v.needed_items(row(compare_paired(a, b, binary=True), "exact_match", 0.0, 3 / 40))
    assert needed is not None
    assert needed["items"] * 3 / 40 >= 7.9


def test_no_difference_or_no_error_gives_no_number_and_a_tiny_one_no_plan():
    a = np.linspace(0, 1, 30)
    assert v.needed_items(row(compare_paired(a, a), "f1", 0.5, 0.5)) is None
    assert v.needed_items(real(1e-6, 0.3, 30)) == {"items": None, "more": None, "rule": v.RULE}


def against(name: str, value: float, tuned: float, word: str) -> dict[str, Any]:
    found = real(tuned - value, 0.1, 60) | {"verdict": word, "a": {"value": value}, "b": {"value": tuned}}
    return found | {"title_of": name, "means": f"doing as {name}"}


def test_beyond_the_baselines_means_better_than_each():
    good, bad = against("copy", 0.1, 0.8, "better"), against("nearest", 0.79, 0.8, "no difference seen")
    assert v.beyond_baselines([good]) is True
    assert v.beyond_baselines([good, bad]) is False
    assert v.beyond_baselines([]) is None
    assert v.best_baseline([good, bad]) == bad


def test_the_sentence_says_figures_interval_best_baseline_and_what_it_means():
    found = real(0.3, 0.1, 60)
    bad = against("nearest", 0.79, 0.8, "no difference seen")
    text = v.sentence("german", "better", found, [against("copy", 0.1, 0.8, "better"), bad], None)
    assert "german is better than its base: F1 of words" in text
    assert "95 % interval" in text
    assert "The better baseline, nearest, reaches 79.0 %" in text
    assert "doing as nearest" in text
    assert "copy" not in text


def test_what_cannot_be_told_says_how_many_more_and_what_would_have_been_seen():
    found = real(0.02, 0.3, 50)
    text = v.sentence("x", "cannot tell", found, [], v.needed_items(found))
    assert "cannot be told from 50 test items" in text
    assert "more items would show it" in text
    assert "4 times in 5" in text


@pytest.mark.parametrize(
    ("low", "high", "difference", "word", "said"),
    [
        (-0.001, 0.002, 0.0005, "none seen", "No forgetting was seen"),
        (0.001, 0.01, 0.005, "slight", "forgot a little"),
        (0.02, 0.06, 0.04, "noticeable", "forgot noticeably"),
        (0.1, 0.3, 0.2, "large", "forgot much"),
        (-0.05, -0.01, -0.03, "learned", "Nothing was forgotten"),
    ],
)
def test_forgetting_has_a_word_for_each_size(low: float, high: float, difference: float, word: str, said: str):
    from smallm.core import yamltree
    from smallm.evaluate.tasks import Item, Task, parse_task
    from smallm.finetune.forgetting import TASK, GeneralText, forgetting

    spec = parse_task(yamltree.parse(TASK, "general"))
    task = Task("general", "0", spec.kind, (Item("a", "x"),), ("bits_per_byte",), "bits_per_byte", spec)
    change = {"a": {"value": 1.0}, "b": {"value": 1.0 + difference}, "difference": difference, "low": low, "high": high}
    found = forgetting(change, GeneralText(task, "file", "a text", 1))
    assert found is not None
    assert found["verdict"] == word
    assert said in v.forgetting_sentence(found)
    assert forgetting(None, GeneralText(task, "file", "a text", 1)) is None
