"""Your rotation against smallm.model.decoder.rotate."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from smallm.core.config import ModelConfig
from smallm.model.decoder import rope_angles, rotate
from smallm.model.presets import complete

X_THC = np.random.default_rng(0).normal(size=(12, 2, 16))


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
def test_it_equals_the_decoder(exercise: ModuleType, theta: float) -> None:
    config = complete(ModelConfig(width=32, heads=2, context=12, vocab_size=64, rope_theta=theta), 0)
    angles_TR = rope_angles(config)
    expected = rotate(torch.from_numpy(X_THC)[None], angles_TR.cos()[None, :, None], angles_TR.sin()[None, :, None])
    np.testing.assert_allclose(exercise.rotate(X_THC, np.arange(12), theta), expected[0].numpy(), atol=1e-5)


def test_position_0_is_not_turned_and_lengths_stay(exercise: ModuleType) -> None:
    turned = exercise.rotate(X_THC, np.arange(12))
    np.testing.assert_allclose(turned[0], X_THC[0], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(X_THC, axis=-1))


def test_a_score_depends_on_the_distance_alone(exercise: ModuleType) -> None:
    q, k = X_THC[:1], X_THC[1:2]

    def score(t: int, s: int) -> np.ndarray:
        return (exercise.rotate(q, np.array([t])) * exercise.rotate(k, np.array([s]))).sum(-1)

    np.testing.assert_allclose(score(7, 3), score(107, 103), atol=1e-9)
    assert not np.allclose(score(7, 3), score(7, 4))
