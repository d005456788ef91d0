"""The fast encoder gives the ids of the tokenizer's own `encode`, on anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers

from smallm.core.run import Run
from smallm.tokenizer import words
from smallm.tokenizer.bpe import QWEN2_PATTERN
from smallm.tokenizer.words import id_dtype, make_encoder, qwen2_pattern

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# Characters at which the alternatives of the pattern meet, drawn far more often than by chance.
EDGE_CHARACTERS = (
    "'sStTrReElLdDmMvV\u017fK\r\n\t  \u00a0\u2003\u0085ab\u00c41\u0661\u3002!?.,-\u2014\"\u2019<|>"
    "\U0001f600\u200d\ufe0f\u00e9\u4e2d\u05d0\U0001d400\U0001d7d9\u0301\u1e9e\x1c"
)
EDGES = st.text(st.sampled_from(EDGE_CHARACTERS), max_size=14)


def plain(run: Run) -> Tokenizer:
    """The tokenizer of a run, special names taken as text."""
    tokenizer = Tokenizer.from_file(str(run.path / "tokenizer" / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def test_ids_equal_those_of_the_tokenizer_on_nasty_text(run: Run, nasty: list[str]):
    tokenizer = plain(run)
    encoded = make_encoder(tokenizer)(nasty)
    assert [x.tolist() for x in encoded] == [tokenizer.encode(text).ids for text in nasty]
    assert {x.dtype for x in encoded} == {np.dtype("<u2")}


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char"])
def test_ids_equal_those_of_the_tokenizer_on_fuzzed_text(kind: str, runs: dict[str, Run]):
    tokenizer = plain(runs[kind])
    encode = make_encoder(tokenizer)

    @settings(max_examples=400, deadline=None)
    @given(TEXT | EDGES)
    def law(text: str) -> None:
        assert encode([text])[0].tolist() == tokenizer.encode(text).ids

    law()


@settings(max_examples=1000, deadline=None)
@given(EDGES | TEXT)
def test_the_pattern_splits_as_the_engine_of_tokenizers_does(text: str):
    engine = pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated")
    assert qwen2_pattern().findall(text) == [piece for piece, _ in engine.pre_tokenize_str(text)]


def test_every_code_point_is_split_as_the_engine_does():
    """Each of plane 0, every 16th of planes 1 to 3, between letters, digits, marks and spaces."""
    engine = pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated")
    points = [c for c in range(0x40000) if not 0xD800 <= c < 0xE000]
    for start in range(0, len(points), 4096):
        text = "".join(
            f"a{chr(c)} {chr(c)}b!{chr(c)}1\n" for c in points[start : start + 4096 : 1 if start < 65536 else 16]
        )
        assert qwen2_pattern().findall(text) == [piece for piece, _ in engine.pre_tokenize_str(text)]


def test_a_full_cache_is_emptied_and_changes_nothing(runs: dict[str, Run], nasty: list[str], monkeypatch):
    expected = make_encoder(plain(runs["bpe"]))(nasty)
    monkeypatch.setattr(words, "CACHE_WORDS", 3)
    for a, b in zip(make_encoder(plain(runs["bpe"]))(nasty), expected, strict=True):
        assert a.tolist() == b.tolist()


def test_a_tokenizer_of_others_takes_its_own_route(runs: dict[str, Run], nasty: list[str], monkeypatch):
    monkeypatch.setattr(words, "GENERIC_BATCH", 100)
    tokenizer = plain(runs["bpe"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    assert [x.tolist() for x in make_encoder(tokenizer)(nasty)] == [tokenizer.encode(text).ids for text in nasty]


def test_ids_take_two_bytes_where_they_fit():
    assert id_dtype(65536) == np.dtype("uint16")
    assert id_dtype(65537) == np.dtype("uint32")
