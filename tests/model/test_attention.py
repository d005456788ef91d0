"""Laws of attention: the fast backends equal the slow twin, and no document sees another."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.tiny import packed

from smallm.model.attention import (
    allowed,
    attend,
    best_backend,
    cumulative_lengths,
    make_borders,
    reference_attention,
)

HERE = ["sdpa", pytest.param("flex", marks=pytest.mark.filterwarnings("ignore:flex_attention called without"))]


def _qkv(B: int, T: int, H: int, K: int, C: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(B, T, heads, C, generator=generator) for heads in (H, K, K)]


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("window", [None, 1, 7])
def test_every_backend_equals_the_slow_twin(backend: str, kv_heads: int, window: int | None) -> None:
    qkv = _qkv(2, 32, 4, kv_heads, 16)
    segments = torch.stack([packed([5, 11, 16])[0], packed([32])[0]])
    expected = attend(*qkv, make_borders(segments, "reference", window))
    torch.testing.assert_close(attend(*qkv, make_borders(segments, backend, window)), expected, atol=1e-5, rtol=1e-5)


def test_without_borders_attention_is_causal_over_the_row() -> None:
    qkv = _qkv(2, 16, 4, 2, 8)
    causal = torch.ones(16, 16, dtype=torch.bool).tril().expand(2, 16, 16)
    torch.testing.assert_close(attend(*qkv), reference_attention(*qkv, causal), atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_a_packed_row_gives_what_its_documents_give_alone(lengths: list[int], seed: int) -> None:
    qkv = _qkv(1, sum(lengths), 2, 1, 8, seed)
    together = attend(*qkv, make_borders(packed(lengths)[0][None], "sdpa"))
    alone = [attend(*(x[:, s : s + n] for x in qkv)) for s, n in _spans(lengths)]
    torch.testing.assert_close(together, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-5)


def _spans(lengths: list[int]) -> list[tuple[int, int]]:
    return [(sum(lengths[:i]), n) for i, n in enumerate(lengths)]


@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4))
def test_cumulative_lengths_name_each_segment_once_and_end_in_the_total(rows: list[list[int]]) -> None:
    T = max(sum(r) for r in rows)
    rows = [[*r, T - sum(r)] if sum(r) < T else r for r in rows]
    lengths = cumulative_lengths(torch.stack([packed(r)[0] for r in rows])).tolist()
    flat = [n for r in rows for n in r]
    assert [b - a for a, b in itertools.pairwise(lengths) if b > a] == flat
    assert lengths[0] == 0
    assert lengths[-1] == T * len(rows)


def test_cumulative_lengths_keep_their_number_when_documents_come_and_go() -> None:
    """A new shape would make torch.compile compile again."""
    few = cumulative_lengths(torch.zeros(4, 64, dtype=torch.long))
    many = cumulative_lengths(torch.stack([packed([20, 20, 20, 4])[0]] * 4))
    assert len(few) == len(many)
    assert len(cumulative_lengths(torch.zeros(4, 64), capacity=10)) == 10
    with pytest.raises(ValueError, match="capacity is 3"):
        cumulative_lengths(torch.zeros(4, 64), capacity=3)


def test_the_window_counts_the_position_itself() -> None:
    mask = allowed(torch.zeros(1, 5, dtype=torch.long), window=2)[0]
    assert mask.sum(dim=1).tolist() == [1, 2, 2, 2, 2]


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'flash' is not one of reference, sdpa, flex, varlen"):
        make_borders(torch.zeros(1, 4), "flash")


def test_dropout_on_a_backend_that_has_none_is_refused() -> None:
    qkv = _qkv(1, 4, 1, 1, 4)
    with pytest.raises(ValueError, match="dropout works with the sdpa backend"):
        attend(*qkv, make_borders(torch.zeros(1, 4), "reference"), dropout=0.1)


def test_the_cpu_takes_sdpa() -> None:
    assert best_backend("cpu") == best_backend("cpu", torch.bfloat16) == "sdpa"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="varlen and compiled flex need CUDA")
@pytest.mark.parametrize("backend", ["sdpa", "flex", "varlen"])
@pytest.mark.parametrize("kv_heads", [2, 4])
@pytest.mark.parametrize("window", [None, 50])
def test_on_a_gpu_every_backend_equals_the_slow_twin(backend: str, kv_heads: int, window: int | None) -> None:
    segments = torch.stack([packed([50, 110, 96])[0], packed([256])[0]])
    qkv = [x.cuda().bfloat16() for x in _qkv(2, 256, 4, kv_heads, 64)]
    expected = attend(*qkv, make_borders(segments, "reference", window, device="cuda"))
    got = attend(*qkv, make_borders(segments, backend, window, device="cuda"))
    torch.testing.assert_close(got, expected, atol=2e-2, rtol=2e-2)
