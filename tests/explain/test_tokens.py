"""Tokens as people read them: spaces kept, parts of characters as bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smallm.explain.subject import Subject
from smallm.explain.tokens import Pieces, in_bytes


@pytest.mark.parametrize("kind", ["ours", "phi3", "gpt_neox"])
def test_the_pieces_of_plain_text_are_the_text(kind: str, subject_of: Callable[[str], Subject]):
    tokenizer = subject_of(kind).tokenizer
    pieces = Pieces(tokenizer)
    text = "the cat sat; What is it?"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(pieces.of(ids)).strip() == text


def test_parts_of_characters_are_their_bytes(subject_of: Callable[[str], Subject]):
    tokenizer = subject_of("ours").tokenizer
    shown = Pieces(tokenizer).of(tokenizer.encode("🙂", add_special_tokens=False))
    assert "".join(shown) == "‹F0›‹9F›‹99›‹82›"
    assert in_bytes("<0xE2>") == "‹E2›"
    assert in_bytes("ĠÃ") == " ‹C3›"
    assert in_bytes("日") == "日"


def test_specials_are_named(subject_of: Callable[[str], Subject]):
    assert Pieces(subject_of("ours").tokenizer)(0) == "<|endoftext|>"
