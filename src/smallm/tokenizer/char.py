"""One token a character: the classic Shakespeare setting.

The vocabulary is every character of the train split (NFC), sorted, after three specials. A
character that the train split does not have is `<|unk|>`: counted when data is encoded, and
said. No GGUF: llama.cpp has no tokenizer of this kind.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from smallm.tokenizer.specials import CHAR_RESERVED, UNKNOWN

NO_GGUF = (
    "a character-level tokenizer has no GGUF form: llama.cpp knows no tokenizer of this kind. "
    "Train with tokenizer.kind: bpe for a model that llama.cpp opens."
)


def train_char(texts: Iterable[str]) -> Tokenizer:
    """`<|endoftext|>`, `<|pad|>`, `<|unk|>`, then the characters of `texts` in code point order."""
    characters: set[str] = set()
    for text in texts:
        characters.update(text)
    vocabulary = {token: i for i, token in enumerate((*CHAR_RESERVED, *sorted(characters)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.NFC()  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")  # type: ignore[assignment]
    tokenizer.decoder = decoders.Fuse()  # type: ignore[assignment]
    tokenizer.add_special_tokens(list(CHAR_RESERVED))
    return tokenizer
