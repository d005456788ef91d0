"""Samples are even, and pieces are cut only where ids allow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from smallm.core.run import Run
from smallm.tokenizer.documents import pieces, sample
from smallm.tokenizer.words import make_encoder


@given(st.text("ab \n.\u00e9\U0001f600", max_size=200), st.integers(1, 40), st.sampled_from(["bpe", "unigram", "char"]))
def test_pieces_join_to_the_text(text: str, size: int, kind: str):
    found = list(pieces(text, kind, size))
    assert "".join(found) == text
    assert all(found)
    assert all(len(piece) <= 8 * size for piece in found)


def test_ids_of_pieces_are_the_ids_of_the_whole(runs: dict[str, Run], nasty: list[str]):
    text = "\n".join(t for t in nasty if len(t) < 200) * 3
    for kind, run in runs.items():
        encode = make_encoder(Tokenizer.from_file(str(run.path / "tokenizer" / "tokenizer.json")))
        parts = [i for ids in encode(list(pieces(text, kind, 100))) for i in ids.tolist()]
        assert parts == encode([text])[0].tolist()


@pytest.mark.parametrize("limit", [2_000, 40_000, 10**9])
def test_a_sample_is_as_large_as_asked_and_comes_from_everywhere(limit: int, tmp_path: Path, write_data):
    texts = [f"document {i:03d}\n" * (1000 if i % 10 == 0 else 10) for i in range(200)]
    write_data(tmp_path / "run", texts, ["x"])
    taken = [text for text, _ in sample(tmp_path / "run" / "data", "train", limit, "bpe")]
    total = sum(map(len, texts))
    size = sum(map(len, taken))
    assert abs(size - min(limit, total)) <= 8192
    if limit >= total:
        assert "".join(taken) == "".join(texts)
    half = sum(len(t) for t in taken if int(t[9:12]) < 100)
    assert abs(half - size / 2) <= 8192
