"""Position encodings as the models have them, against their papers' formulas."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from explain.conftest import PROMPT

from smallm.explain.explain import Explanation
from smallm.explain.positions import layer_windows
from smallm.explain.subject import Subject


def test_rotary_frequencies_are_the_papers_in_ours_and_in_transformers(explained: Callable[..., Explanation]):
    (ours,) = explained("ours").positions.rotary
    np.testing.assert_allclose(ours.frequency_R, 10_000.0 ** (-np.arange(0, 16, 2) / 16), rtol=1e-4)
    (partial,) = explained("gpt_neox").positions.rotary
    assert partial.channels == 8
    assert len(partial.frequency_R) in (1, 4)  # a quarter of the head, or all of it, by the configuration
    assert partial.frequency_R[0] == pytest.approx(1.0)


def test_vectors_are_alike_at_no_distance_and_less_further_away(explained: Callable[..., Explanation]):
    (ours,) = explained("ours").positions.rotary
    assert ours.closeness_T[0] == pytest.approx(1.0)
    assert ours.closeness_T[1:].max() < 1.0


def test_longrope_shows_the_factors_and_scale_of_a_short_prompt(explained: Callable[..., Explanation]):
    found = explained("phi3").positions
    assert "longrope" in found.about
    plain = 10_000.0 ** (-np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(found.rotary[0].frequency_R, plain / (1 + 0.05 * np.arange(8)), rtol=1e-4)
    assert found.rotary[0].scale > 1
    assert found.windows == [2048, 2048]


def test_learned_rows_are_the_models_own(explained: Callable[..., Explanation], subject_of: Callable[[str], Subject]):
    found = explained("ours with learned positions").positions
    rows = subject_of("ours with learned positions").model.positions.weight.detach().double().numpy()
    assert found.kind == "learned"
    assert found.table is not None
    assert found.table.size == rows.shape
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    np.testing.assert_allclose(found.table.similarity_TT, unit @ unit.T, atol=1e-6)


def test_alibi_and_nothing_are_said_as_such(explained: Callable[..., Explanation]):
    assert explained("bloom").positions.kind == "alibi"
    assert explained("bloom").positions.slopes == [0.25, 0.0625, 0.015625, 0.00390625]
    assert explained("ours without positions").positions.kind == "none"


def test_windows_are_of_the_layers_that_have_one(explained: Callable[..., Explanation]):
    assert explained("gemma2").positions.windows == [16, None]
    assert layer_windows(SimpleNamespace(sliding_window=8), 2) == [8, 8]
    assert layer_windows(SimpleNamespace(sliding_window=8, use_sliding_window=False), 2) == [None, None]
    assert layer_windows(SimpleNamespace(), 1) == [None]


def test_no_layer_looks_beyond_its_window(explained: Callable[..., Explanation]):
    found = explained("gemma2")
    T = len(found.ids)
    for weights, window in zip(found.trace.attention, found.positions.windows, strict=True):
        assert weights is not None
        far = np.subtract.outer(np.arange(T), np.arange(T)) >= (window or T)
        assert weights[:, far].max(initial=0.0) == 0.0
    assert len(PROMPT) > 16
