"""Position encodings as the models have them, against their papers' formulas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from explain.conftest import PROMPT, make_ours
from tiny_hf import make_tokenizer

from smallm.evaluate.local_models import Options
from smallm.explain.explain import Explanation, explain
from smallm.explain.positions import layer_windows
from smallm.explain.subject import Subject, open_subject


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


LONGROPE = {
    "rope_type": "longrope",
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "short_factor": [1.0 + 0.05 * i for i in range(8)],
    "long_factor": [1.0 + 2.0 * i for i in range(8)],
}


def test_our_longrope_shows_the_factors_that_a_prompt_of_its_length_is_turned_by(tmp_path: Path):
    subject = open_subject(str(make_ours(tmp_path, preset="phi3", rope_scaling=LONGROPE)), Options())
    assert subject.ours
    plain = 10_000.0 ** (-np.arange(0, 16, 2) / 16)
    for length, factors in ((16, "short_factor"), (17, "long_factor"), (20, "long_factor")):
        (found,) = explain(subject, "", ids=[5] * length, layers=False).positions.rotary
        np.testing.assert_allclose(found.frequency_R, plain / np.array(LONGROPE[factors]), rtol=1e-4)
        assert found.scale > 1


def test_our_sinusoids_are_the_papers(explained: Callable[..., Explanation]):
    found = explained("ours of 2017").positions
    assert found.kind == "sinusoidal"
    assert found.rotary == []
    assert found.table is not None
    angles = np.outer(np.arange(64), 10_000.0 ** (-np.arange(0, 64, 2) / 64))
    waves = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(64, 64)
    np.testing.assert_allclose(found.table.rows_TD, waves, atol=1e-5)


@pytest.mark.parametrize(("heads", "turned"), [(4, 4), (1, 32)])
def test_an_encoding_that_is_not_recognised_is_not_called_absent(tmp_path: Path, heads: int, turned: int):
    """GPT-J rotates by a table of its attention's own."""
    from transformers import GPTJConfig, GPTJForCausalLM

    config = GPTJConfig(vocab_size=384, n_embd=32, n_layer=2, n_head=heads, n_positions=48, rotary_dim=turned)
    GPTJForCausalLM(config).save_pretrained(tmp_path)
    make_tokenizer(tmp_path)
    found = explain(open_subject(str(tmp_path), Options()), PROMPT, layers=False).positions
    assert found.kind == "unknown"
    assert found.about.startswith("Not recognised")


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
    assert explained("ours with a window").positions.windows == [5, 5, 5]
    assert explained("ours").positions.windows == [None] * 3
    assert explained("ours with shared layers").positions.windows == [None] * 4
    assert layer_windows(SimpleNamespace(window=0), 2) == [None, None]
    assert layer_windows(SimpleNamespace(sliding_window=8), 2) == [8, 8]
    assert layer_windows(SimpleNamespace(sliding_window=8, use_sliding_window=False), 2) == [None, None]
    assert layer_windows(SimpleNamespace(), 1) == [None]


@pytest.mark.parametrize("kind", ["gemma2", "ours with a window"])
def test_no_layer_looks_beyond_its_window(kind: str, explained: Callable[..., Explanation]):
    found = explained(kind)
    T = len(found.ids)
    for weights, window in zip(found.trace.attention, found.positions.windows, strict=True):
        assert weights is not None
        far = np.subtract.outer(np.arange(T), np.arange(T)) >= (window or T)
        assert weights[:, far].max(initial=0.0) == 0.0
    assert len(PROMPT) > 16
