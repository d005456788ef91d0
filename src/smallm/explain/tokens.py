"""Tokens as text for people: each with the spaces it stands for, parts of characters as their bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

BROKEN = "\ufffd"
# How byte-level tokenizers (GPT-2) spell a byte: printable ones as themselves, the others by characters from 256 on.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_REST = [byte for byte in range(256) if byte not in _PRINTABLE]
SPELLED = {chr(b): b for b in _PRINTABLE} | {chr(256 + i): b for i, b in enumerate(_REST)}


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
        named = self.tokenizer.convert_ids_to_tokens(id)
        return in_bytes(str(named)) if named else f"<{id}>"


def in_bytes(name: str) -> str:
    """A token that is a part of a character, or nothing by itself: what it has of text, its other bytes as ‹E2›."""
    if found := re.fullmatch(r"<0x([0-9A-F]{2})>", name):
        return f"‹{found[1]}›"
    if not all(character in SPELLED for character in name):
        return name
    text = bytes(SPELLED[character] for character in name).decode("utf-8", "backslashreplace")
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: f"‹{found[1].upper()}›", text)
