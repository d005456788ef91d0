"""Byte-level BPE with exactly the pre-tokenizer of qwen2, by `tokenizers`.

llama.cpp knows only listed pre-tokenizers, and qwen2's splits digits one by one, which
small models like. NFC before it, as in Qwen. Every string has an encoding: the 256 bytes
are always in the vocabulary. Deterministic: ties between pairs are broken by their ids, so
neither threads nor hash seeds enter.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from smallm.tokenizer.specials import RESERVED

# transformers 5, models/qwen2/tokenization_qwen2.py; llama.cpp: LLAMA_VOCAB_PRE_TYPE_QWEN2.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# A pair that occurs once teaches nothing and is what a vocabulary too large for its text is made of.
MIN_FREQUENCY = 2


def empty_bpe() -> Tokenizer:
    """A tokenizer with everything but its vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    return tokenizer


def train_bpe(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    """At most `vocab_size` tokens, the reserved specials first; fewer when the pairs run out."""
    tokenizer = empty_bpe()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        special_tokens=list(RESERVED),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def byte_characters() -> list[str]:
    """The printable character that stands for each byte 0..255 in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]
