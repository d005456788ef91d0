"""Tokens as text for people: each with the spaces it stands for, parts of characters as their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

BROKEN = "\ufffd"


class Pieces:
    """Id -> text, of one tokenizer; remembers what it was asked."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.known: dict[int, str] = {}
        # Decoded behind a token of plain text: some tokenizers leave out a space at the beginning.
        anchor = list(tokenizer.encode("a", add_special_tokens=False))[-1:]
        self.anchor: list[int] = anchor
        self.before = self._decode(anchor)

    def __call__(self, id: int) -> str:
        if id not in self.known:
            self.known[id] = self._piece(id)
        return self.known[id]

    def of(self, ids: Iterable[int]) -> list[str]:
        return [self(int(i)) for i in ids]

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def _piece(self, id: int) -> str:
        text = self._decode([*self.anchor, id])
        text = text[len(self.before) :] if text.startswith(self.before) else self._decode([id])
        if text and BROKEN not in text:
            return text
        named = self.tokenizer.convert_ids_to_tokens(id)  # a part of a character, or nothing by itself
        return str(named) if named else f"<{id}>"
