"""Laws of sampling: the draws follow the distribution that was asked for, and bad values are named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from smallm.core.errors import UserError
from smallm.model.sampling import SamplingConfig, draw, penalise, streams, warp


@given(
    st.integers(0, 10**6),
    st.floats(0.1, 3),
    st.integers(0, 40),
    st.floats(0.05, 1),
    st.floats(0, 0.9),
    st.floats(0.5, 2),
)
@settings(max_examples=50, deadline=None)
def test_the_warped_distribution_is_that_of_transformers(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float, penalty: float
) -> None:
    logits = torch.randn(3, 32, generator=torch.Generator().manual_seed(seed)) * 3
    seen_ids = torch.randint(0, 32, (3, 5), generator=torch.Generator().manual_seed(seed + 1))
    seen = torch.zeros(3, 32, dtype=torch.bool).scatter(1, seen_ids, True)
    sampling = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    ours = warp(penalise(logits, seen, penalty), sampling).softmax(-1)
    chain: Any = [RepetitionPenaltyLogitsProcessor(penalty), TemperatureLogitsWarper(temperature)]
    chain += [TopKLogitsWarper(top_k)] if top_k else []
    chain += [TopPLogitsWarper(top_p)] if top_p < 1 else []
    chain += [MinPLogitsWarper(min_p)] if min_p else []
    theirs = LogitsProcessorList(chain)(seen_ids, logits).softmax(-1)  # type: ignore[arg-type]
    # A threshold that falls on a token to the last bit may decide either way about it; all else must be equal.
    if torch.equal(ours > 0, theirs > 0):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)
    else:
        assert ((ours > 0) != (theirs > 0)).sum() <= 1


def test_a_top_p_just_below_one_keeps_the_tail() -> None:
    logits = torch.randn(3, 32, generator=torch.Generator().manual_seed(0)) * 6
    kept = warp(logits, SamplingConfig(temperature=1.0, top_p=1 - 2**-53))
    assert torch.equal(kept, logits)


def test_draws_have_the_frequencies_of_the_distribution() -> None:
    p = torch.tensor([0.5, 0.25, 0.0, 0.2, 0.05])
    sampling, n = SamplingConfig(temperature=1.0), 20_000
    random = [np.random.Generator(np.random.Philox(3))] * n
    drawn = draw(p.log().expand(n, 5), sampling, random)
    counts = torch.bincount(torch.tensor(drawn), minlength=5) / n
    assert counts[2] == 0
    # Five standard deviations: a false alarm in 1 of a million changes of the generator.
    assert ((counts - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()


def test_temperature_zero_and_greedy_take_the_likeliest() -> None:
    logits = torch.randn(4, 20, generator=torch.Generator().manual_seed(0))
    for sampling in (SamplingConfig(temperature=0.0), SamplingConfig(greedy=True)):
        assert draw(logits, sampling, streams(sampling, 4)) == logits.argmax(-1).tolist()


def test_the_likeliest_token_always_stays() -> None:
    logits = torch.randn(50, 20, generator=torch.Generator().manual_seed(0)) * 5
    for extreme in (SamplingConfig(top_k=1), SamplingConfig(top_p=1e-9), SamplingConfig(min_p=0.999)):
        assert draw(logits, extreme, streams(extreme, 50)) == logits.argmax(-1).tolist()


def test_a_penalty_makes_the_seen_less_likely_whatever_the_sign() -> None:
    logits, seen = torch.tensor([[2.0, -2.0, 1.0]]), torch.tensor([[True, True, False]])
    assert penalise(logits, seen, 2.0).tolist() == [[1.0, -4.0, 1.0]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", 1.0),
        ("min_p", -0.1),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.nan),
        ("top_k", -1),
        ("top_k", 1.5),
        ("max_new_tokens", 0),
        ("seed", -1),
        ("temperature", "hot"),
        ("stop", "end"),
        ("stop", ("",)),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_range(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"^{name}: "):
        SamplingConfig(**{name: value})
