"""Your loss against smallm.train.loss.cross_entropy_reference, the slow twin of the chunked one."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from smallm.train.loss import cross_entropy_reference

LOGITS_NV = np.random.default_rng(0).normal(size=(10, 7)) * 3
TARGETS_N = np.array([0, 6, -100, 3, 3, -100, 1, 2, 5, 4])


def test_it_equals_the_slow_twin(exercise: ModuleType) -> None:
    expected = cross_entropy_reference(torch.from_numpy(LOGITS_NV), nn.Identity(), torch.from_numpy(TARGETS_N))
    loss, counted = exercise.cross_entropy(LOGITS_NV, TARGETS_N)
    assert loss == pytest.approx(float(expected[0]), rel=1e-5)
    assert counted == int(expected[1]) == 8


def test_all_logits_equal_cost_the_logarithm_of_the_vocabulary(exercise: ModuleType) -> None:
    assert exercise.cross_entropy(np.zeros((4, 50)), np.arange(4)) == (pytest.approx(4 * math.log(50)), 4)


def test_logits_in_the_thousands_do_not_overflow(exercise: ModuleType) -> None:
    near, _ = exercise.cross_entropy(LOGITS_NV, TARGETS_N)
    far, _ = exercise.cross_entropy(LOGITS_NV + 5000.0, TARGETS_N)
    assert far == pytest.approx(near)


def test_nothing_to_learn_costs_nothing(exercise: ModuleType) -> None:
    assert exercise.cross_entropy(LOGITS_NV, np.full(10, -100)) == (0.0, 0)
