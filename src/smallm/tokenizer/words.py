"""Text to ids, fast: each distinct pre-token is encoded once, a document is a join of bytes.

`tokenizers` spends most of its time in tracking offsets and in its regex engine (1.7 MB/s a
core here); a training stream needs ids alone. A word's ids are kept as bytes, so a document
is one `findall`, one dictionary look-up a word and one join: equal ids at several times the
speed. The slow twin is the tokenizer's own `encode`; tests hold them equal.
Special names in the text are plain text on every route.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from smallm.tokenizer.bpe import byte_characters, empty_bpe
from smallm.tokenizer.unigram import WORD_PATTERN

CACHE_WORDS = 400_000  # about 60 MB; emptied when full
GENERIC_BATCH = 1 << 20  # characters
LONG_WORD = 256  # characters; longer pre-tokens are seldom seen twice


# Texts to the ids of each, BOS not included: arrays of id_dtype(V).
Encoder = Callable[[list[str]], list[np.ndarray]]


def id_dtype(vocab_size: int) -> np.dtype:
    """uint16 where every id fits, uint32 else, little-endian."""
    return np.dtype("<u2" if vocab_size <= 65536 else "<u4")


class _Words(dict[str, bytes]):
    """word -> the bytes of its ids, filled by the tokenizer's model on first sight."""

    def __init__(self, spell: Callable[[str], str], model: Any, dtype: np.dtype) -> None:
        super().__init__()
        self.spell, self.model, self.dtype = spell, model, dtype

    def __missing__(self, word: str) -> bytes:
        ids = [token.id for token in self.model.tokenize(self.spell(word))]
        packed = np.array(ids, self.dtype).tobytes()
        if len(word) <= LONG_WORD:
            if len(self) >= CACHE_WORDS:
                self.clear()
            self[word] = packed
        return packed


def make_encoder(tokenizer: Tokenizer) -> Encoder:
    """The fastest exact route for this tokenizer: words (ours), characters (ours), or its own `encode`."""
    data = json.loads(tokenizer.to_str())
    dtype = id_dtype(tokenizer.get_vocab_size())
    kind = data["model"]["type"]
    if kind == "WordLevel" and data["pre_tokenizer"] == _split(r"[\s\S]"):
        return _characters(data["model"], dtype)
    if kind == "BPE" and _is_ours(data):
        table = byte_characters()
        words = _Words(lambda word: "".join([table[b] for b in word.encode()]), tokenizer.model, dtype)
        return _by_words(qwen2_pattern(), words, normalise=True)
    if kind == "Unigram" and data["normalizer"] is None and data["pre_tokenizer"] == _split(WORD_PATTERN):
        return _by_words(re.compile(WORD_PATTERN), _Words(lambda word: word, tokenizer.model, dtype), normalise=False)
    return _generic(tokenizer, dtype)


def _split(pattern: str) -> dict[str, Any]:
    """How tokenizer.json writes Split(Regex(pattern), isolated)."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _is_ours(data: dict[str, Any]) -> bool:
    ours = json.loads(empty_bpe().to_str())
    plain = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    return all(data[k] == ours[k] for k in ("normalizer", "pre_tokenizer")) and not any(data["model"][k] for k in plain)


def _by_words(pattern: re.Pattern[str], words: _Words, *, normalise: bool) -> Encoder:
    find, look_up, dtype = pattern.findall, words.__getitem__, words.dtype

    def encode(texts: list[str]) -> list[np.ndarray]:
        plain = map(nfc, texts) if normalise else texts
        return [np.frombuffer(b"".join(map(look_up, find(text))), dtype) for text in plain]

    return encode


def _characters(model: dict[str, Any], dtype: np.dtype) -> Encoder:
    """A table from code point to id; what is not in it is the unknown token."""
    table = np.full(0x110000, model["vocab"][model["unk_token"]], dtype)
    for token, i in model["vocab"].items():
        if len(token) == 1:
            table[ord(token)] = i

    def encode(texts: list[str]) -> list[np.ndarray]:
        return [table[np.frombuffer(nfc(text).encode("utf-32-le"), "<u4")] for text in texts]

    return encode


def _generic(tokenizer: Tokenizer, dtype: np.dtype) -> Encoder:
    """Any tokenizer, by its own threads, special names as plain text; about 1 MB at a time (its records are large)."""
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    plain.encode_special_tokens = True

    def encode(texts: list[str]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        start = size = 0
        for i, text in enumerate(texts):
            size += len(text)
            if size >= GENERIC_BATCH or i == len(texts) - 1:
                batch = plain.encode_batch_fast(texts[start : i + 1], add_special_tokens=False)
                found += [np.array(x.ids, dtype) for x in batch]
                start, size = i + 1, 0
        return found

    return encode


def nfc(text: str) -> str:
    """Unicode NFC; texts of data/ are normalised already, and then this is only a check."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


@functools.lru_cache(maxsize=1)
def qwen2_pattern() -> re.Pattern[str]:
    r"""The Split regex of qwen2 for Python's `re`, with the character classes of `tokenizers` itself.

    Python has no \p{L}, and its \s differs, so the classes are read off the engine that the
    tokenizer uses. Python matches a class of the basic plane by one look-up, one with higher
    planes by a scan: the first alternatives settle all but words that touch a higher plane,
    and each accepts only where the next character proves that the general rule says the same.
    """
    letter, number, space = _ranges(r"\p{L}"), _ranges(r"\p{N}"), _ranges(r"\s", last=0xFFFF)
    L, N, S = (_class(x) for x in (letter, number, space))
    basic = np.zeros((3, 0x10000), bool)
    for row, ranges in zip(basic, (letter, number, space), strict=True):
        for low, high in ranges:
            row[low : high + 1] = True
    l, n, s = basic  # noqa: E741
    newline = np.isin(np.arange(0x10000), (0x0A, 0x0D))
    surrogate = (np.arange(0x10000) >> 11) == 0x1B
    other = ~(l | n | s | surrogate)
    Lb, Nb, Pb = _class(_runs(l)), _class(_runs(n)), _class(_runs(other))
    prefix = _class(_runs(~(l | n | newline | surrogate)))
    after_word = _class(_runs(~(l | surrogate)))
    after_marks = _class(_runs(~(other | newline | surrogate)))
    after_mark = _class(_runs((s & ~newline) | n))
    after_newline = _class(_runs(~(newline | surrogate)))
    fold = {c: _class([(ord(x), ord(x)) for x in _same_letter(c)]) for c in "stredvml"}
    contractions = ["'" + "".join(f"[{fold[c]}]" for c in w) for w in ("s", "t", "re", "ve", "m", "ll", "d")]
    return re.compile(
        "|".join(
            [
                *contractions,
                # Proven by the next character, basic plane only:
                rf"[{prefix}]?[{Lb}]+(?=[{after_word}]|\Z)",
                rf"[{Nb}]",
                rf"[ {Pb}][{Pb}]+(?=[{after_marks}]|\Z)",  # two or more: the letter rule cannot start here
                rf"[{Pb}](?=[{after_mark}]|\Z)",
                rf" ?[{Pb}]+[\r\n]+(?=[{after_newline}]|\Z)",
                rf"[{S}]*[\r\n]+",  # whitespace is all in the basic plane; disjoint from the rules below
                rf"[{S}]+(?![^{S}])",
                # The rule as it is written:
                rf"[^\r\n{L}{N}]?[{L}]+",
                rf"[{N}]",
                rf" ?[^{S}{L}{N}]+[\r\n]*",
                rf"[{S}]+",
            ]
        )
    )


def _same_letter(letter: str) -> list[str]:
    """What `(?i:letter)` matches in the engine of `tokenizers` (the long s is an s to it)."""
    candidates = [chr(c) for c in range(0x10000) if chr(c).casefold() == letter or chr(c).lower() == letter]
    engine = pre_tokenizers.Split(Regex(f"(?i:{letter})"), "removed", invert=True)
    return sorted({c for c in candidates if engine.pre_tokenize_str(c)})


def _ranges(expression: str, last: int = 0x3FFFF) -> list[tuple[int, int]]:
    """Code point ranges that `expression` matches in the engine of `tokenizers`: planes 0 to 3 hold every letter."""
    engine = pre_tokenizers.Split(Regex(f"(?:{expression})+"), "removed", invert=True)
    found: list[tuple[int, int]] = []
    for low, high in ((0, 0xD7FF), (0xE000, last)):
        everything = "".join(map(chr, range(low, high + 1)))
        found += [(ord(piece[0]), ord(piece[-1])) for piece, _ in engine.pre_tokenize_str(everything)]
    return found


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Ranges (both ends included) of the true entries."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _class(ranges: list[tuple[int, int]]) -> str:
    """The inside of a character class of `re`."""
    return "".join(rf"\U{a:08x}" if a == b else rf"\U{a:08x}-\U{b:08x}" for a, b in ranges)
