"""The byte table is exact: over the ids of any text it sums to the text's UTF-8 length."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from smallm.core.errors import UserError
from smallm.core.run import Run
from smallm.tokenizer.byte_table import token_bytes
from smallm.tokenizer.directory import load_tokenizer

MARKS = (
    "e\u0301a\u0308\u0323\u1100\u1161\u11a8\u0344\u212b\u2581\u200d\ufe0f"
    "\U0001f3fd\U0001f926\x00\x1b\x7f\ufeff\U0010ffff <|>"
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(st.sampled_from(MARKS), max_size=30)


def length(text: str) -> int:
    return len(unicodedata.normalize("NFC", text).encode())


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char"])
def test_tokens_sum_to_the_bytes_of_the_text(kind: str, runs: dict[str, Run]):
    tokenizer = load_tokenizer(runs[kind].path / "tokenizer")
    table = token_bytes(tokenizer)
    characters = {t for t in tokenizer.get_vocab() if len(t) == 1}
    known = st.text(st.sampled_from(sorted(characters)), max_size=20)

    @settings(max_examples=500, deadline=None)
    @given(known if kind == "char" else TEXT)
    def law(text: str) -> None:
        assume(kind != "char" or set(unicodedata.normalize("NFC", text)) <= characters)
        # sentencepiece's normaliser is the identity, so unigram counts the text as it stands
        expected = len(text.encode()) if kind == "unigram" else length(text)
        for special_names_as_text in (True, False):
            ids = tokenizer(text, split_special_tokens=special_names_as_text)["input_ids"]
            if special_names_as_text or "<|" not in text:
                assert int(table[ids].sum()) == expected

    law()


def test_decoding_gives_back_the_text(run: Run, nasty: list[str]):
    tokenizer = load_tokenizer(run.path / "tokenizer")
    for text in nasty:
        if "unk_token" in tokenizer.special_tokens_map:
            text = "".join(c for c in unicodedata.normalize("NFC", text) if c in tokenizer.get_vocab())
        ids = tokenizer(text, split_special_tokens=True)["input_ids"]
        expected = text if "unigram" in _kind(tokenizer) else unicodedata.normalize("NFC", text)
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == expected


def _kind(tokenizer) -> str:
    return type(tokenizer.backend_tokenizer.model).__name__.lower()


def test_specials_stand_for_no_bytes_and_bytes_for_one(runs: dict[str, Run]):
    for kind, run in runs.items():
        tokenizer = load_tokenizer(run.path / "tokenizer")
        table = token_bytes(tokenizer)
        assert len(table) == len(tokenizer)
        assert not table[: 3 if kind == "char" else 32].any()
        assert table[3 if kind == "char" else 32 :].all()
    byte = load_tokenizer(runs["unigram"].path / "tokenizer").convert_tokens_to_ids("<0x41>")
    assert token_bytes(load_tokenizer(runs["unigram"].path / "tokenizer"))[byte] == 1


@pytest.mark.parametrize("name", ["gpt2", "mistral"])
def test_tokenizers_of_others_are_exact_too(name: str, shared_data: Callable[[str], Path], nasty: list[str]):
    tokenizer = Tokenizer.from_file(str(shared_data(f"tokenizers/{name}") / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    table = token_bytes(tokenizer)
    added = 1 if name == "mistral" else 0  # Mistral puts a space before every text
    for text in nasty:
        if "\u2581" not in text:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert int(table[ids].sum()) == len(text.encode()) + added, text[:50]


def test_a_decoder_that_changes_text_is_refused():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()  # type: ignore[assignment]
    with pytest.raises(UserError, match="WordPiece"):
        token_bytes(tokenizer)
