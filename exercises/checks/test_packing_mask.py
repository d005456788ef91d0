"""Your mask against smallm.model.attention.allowed, and what it is for: no document sees another."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from smallm.model.attention import allowed, reference_attention

SEGMENTS_T = np.repeat([0, 1, 2, 3], [5, 1, 7, 3])


@pytest.mark.parametrize("window", [None, 1, 4])
def test_it_equals_the_rule_of_the_decoder(exercise: ModuleType, window: int | None) -> None:
    expected = allowed(torch.from_numpy(SEGMENTS_T)[None], window)[0]
    np.testing.assert_array_equal(exercise.packing_mask(SEGMENTS_T, window), expected.numpy())


def test_changing_one_document_leaves_its_neighbours_alone(exercise: ModuleType) -> None:
    q, k, v = (torch.randn(1, 16, 2, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mask = torch.from_numpy(np.array(exercise.packing_mask(SEGMENTS_T)))[None]
    before = reference_attention(q, k, v, mask)
    for x in (q, k, v):
        x[:, :5] += 1.0
    after = reference_attention(q, k, v, mask)
    assert torch.equal(before[:, 5:], after[:, 5:])
    assert not torch.equal(before[:, :5], after[:, :5])


def test_positions_begin_again_with_each_document(exercise: ModuleType) -> None:
    expected = np.concatenate([np.arange(n) for n in (5, 1, 7, 3)])
    np.testing.assert_array_equal(exercise.positions(SEGMENTS_T), expected)
