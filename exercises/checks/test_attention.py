"""Your attention against smallm.model.attention.reference_attention, the slow twin of every backend."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from smallm.model.attention import reference_attention


def draw(T: int, H: int, K: int, C: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(T, H, C)), random.normal(size=(T, K, C)), random.normal(size=(T, K, C))


def causal(T: int) -> np.ndarray:
    return np.tril(np.ones((T, T), dtype=bool))


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_it_equals_the_slow_twin(exercise: ModuleType, kv_heads: int) -> None:
    q, k, v = draw(9, 4, kv_heads, 8)
    q_, k_, v_ = (torch.from_numpy(x)[None].float() for x in (q, k, v))
    expected = reference_attention(q_, k_, v_, torch.from_numpy(causal(9))[None])[0]
    np.testing.assert_allclose(exercise.attention(q, k, v, causal(9)), expected.numpy(), atol=1e-5)


def test_the_first_token_takes_its_own_value(exercise: ModuleType) -> None:
    q, k, v = draw(5, 2, 2, 4)
    np.testing.assert_allclose(exercise.attention(q, k, v, causal(5))[0], v[0], atol=1e-12)


def test_what_comes_later_changes_nothing_before(exercise: ModuleType) -> None:
    q, k, v = draw(6, 2, 1, 4)
    before = exercise.attention(q, k, v, causal(6))
    k[4:], v[4:] = 7.0, -7.0
    np.testing.assert_array_equal(exercise.attention(q, k, v, causal(6))[:4], before[:4])


def test_scores_in_the_thousands_do_not_overflow(exercise: ModuleType) -> None:
    q, k, v = draw(4, 1, 1, 4)
    assert np.isfinite(exercise.attention(1e4 * q, k, v, causal(4))).all()
