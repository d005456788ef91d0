"""The tokenizers file of a unigram model has the ids of sentencepiece itself."""

from __future__ import annotations

import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from smallm.core.run import Run


def pair(run: Run) -> tuple[Tokenizer, sentencepiece.SentencePieceProcessor]:
    file = Tokenizer.from_file(str(run.path / "tokenizer" / "tokenizer.json"))
    file.encode_special_tokens = True
    return file, sentencepiece.SentencePieceProcessor(model_file=str(run.path / "tokenizer" / "tokenizer.model"))


def tie(original: sentencepiece.SentencePieceProcessor, ids: list[int], expected: list[int]) -> bool:
    """Both are best segmentations of one text: the same pieces in another order (">" ">>" or ">>" ">")."""
    return sorted(ids) == sorted(expected) and original.decode(ids) == original.decode(expected)


def test_ids_equal_sentencepiece_on_nasty_text(runs: dict[str, Run], nasty: list[str]):
    file, original = pair(runs["unigram"])
    for text in nasty:
        ids, expected = file.encode(text).ids, original.encode(text)
        assert ids == expected or tie(original, ids, expected), text[:50]
        assert original.decode(expected) == text


def test_ids_equal_sentencepiece_on_fuzzed_text(runs: dict[str, Run]):
    file, original = pair(runs["unigram"])
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\u2581")

    @settings(max_examples=1000, deadline=None)
    @given(st.text(characters, max_size=40) | st.text(st.sampled_from("<|endoftx>0xA4 \n\tthe,.1"), max_size=60))
    def law(text: str) -> None:
        ids, expected = file.encode(text).ids, original.encode(text)
        assert ids == expected or tie(original, ids, expected)

    law()


def test_the_space_mark_of_sentencepiece_survives_here(runs: dict[str, Run]):
    file, original = pair(runs["unigram"])
    assert file.decode(file.encode("a\u2581b c").ids) == "a\u2581b c"
    assert original.decode(original.encode("a\u2581b c")) == "a b c"  # the exception that the module states


def test_pieces_have_equal_ids(runs: dict[str, Run]):
    file, original = pair(runs["unigram"])
    assert file.get_vocab_size() == original.get_piece_size() == 1000
    for i in range(1000):
        assert file.id_to_token(i) == original.id_to_piece(i).replace("\u2581", " ")
