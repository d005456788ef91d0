"""Laws of train/schedule.py."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallm.core.config import TrainConfig
from smallm.train.schedule import SHAPES, agrees_until, decay_start, rate


@pytest.mark.parametrize("schedule", ["wsd", "cosine", "linear"])
@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("warmup", [0, 10])
def test_a_schedule_starts_at_the_peak_after_warmup_and_ends_at_the_final_rate(
    schedule: str, final: float, warmup: int
) -> None:
    train = TrainConfig(schedule=schedule, final_learning_rate=final, warmup_steps=warmup, decay_share=0.2)
    rates = [rate(step, 100, train) for step in range(1, 101)]
    assert rates[-1] == pytest.approx(final)
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    if warmup:
        assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    after = rates[warmup:]
    assert all(a >= b - 1e-12 for a, b in pairwise(after))


def test_wsd_is_flat_then_falls_in_a_line() -> None:
    train = TrainConfig(schedule="wsd", decay_share=0.25)
    rates = [rate(step, 100, train) for step in range(1, 101)]
    assert decay_start(100, train) == 75
    assert rates[:75] == [1.0] * 75
    assert rates[75:] == pytest.approx([1 - k / 25 for k in range(1, 26)])


def test_cosine_is_half_way_at_half_time_and_constant_is_constant() -> None:
    assert rate(50, 100, TrainConfig(schedule="cosine")) == pytest.approx(0.5)
    assert {rate(s, 9, TrainConfig(schedule="constant")) for s in range(1, 10)} == {1.0}


@given(
    schedule=st.sampled_from(sorted(SHAPES)),
    warmup=st.integers(0, 50),
    share=st.floats(0, 1),
    final=st.floats(0, 1),
    a=st.integers(1, 200),
    b=st.integers(1, 200),
)
def test_rates_stay_in_range_and_two_budgets_agree_as_far_as_promised(
    schedule: str, warmup: int, share: float, final: float, a: int, b: int
) -> None:
    train = TrainConfig(schedule=schedule, warmup_steps=warmup, decay_share=share, final_learning_rate=final)
    for step in range(1, a + 1):
        assert 0.0 <= rate(step, a, train) <= 1.0
    for step in range(1, min(agrees_until(a, b, train), a, b) + 1):
        assert rate(step, a, train) == rate(step, b, train)
