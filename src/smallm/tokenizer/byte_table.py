"""How many UTF-8 bytes of text each token stands for: the denominator of bits per byte.

Exact, not an average: over the ids of a text the table sums to the text's UTF-8 length (NFC,
where the tokenizer normalises). Specials, and the unknown character of the character-level
kind, stand for none. A byte of a multi-byte character counts as the one byte that it is.
Letters: V vocabulary.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from smallm.core.errors import UserError

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def token_bytes(tokenizer: Any) -> np.ndarray:
    """int32 [V]: UTF-8 bytes per id, for a transformers tokenizer or a `tokenizers.Tokenizer`.

    Reads the decoder to know how pieces spell text: byte-level, byte fallback, a stand-in for the
    space, or plain. Raises UserError for a decoder that it does not know (WordPiece: not exact).
    """
    backend: Tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
    data = json.loads(backend.to_str())
    steps = _steps(data["decoder"])
    unknown = {s["type"] for s in steps} - {"ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip"}
    if unknown:
        raise UserError(
            f"bits per byte needs to know how many bytes a token stands for, and this tokenizer's decoder "
            f"({', '.join(sorted(unknown))}) does not keep the text exactly. Use a byte-level or sentencepiece one."
        )
    kinds = {s["type"] for s in steps}
    spaces = [s["replacement"] for s in steps if s["type"] == "Metaspace"]
    spaces += [s["pattern"]["String"] for s in steps if s["type"] == "Replace" and s["content"] == " "]
    added = {t["id"]: t for t in data["added_tokens"]}
    size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
    unknown_piece = data["model"].get("unk_token")
    table = np.zeros(size, np.int32)
    for piece, i in backend.get_vocab(with_added_tokens=True).items():
        if i in added:
            table[i] = 0 if added[i]["special"] else len(piece.encode())
        elif piece == unknown_piece:
            table[i] = 0
        elif "ByteLevel" in kinds:
            table[i] = len(piece)  # one printable character a byte
        elif "ByteFallback" in kinds and _BYTE.fullmatch(piece):
            table[i] = 1
        else:
            for stand_in in spaces:
                piece = piece.replace(stand_in, " ")
            table[i] = len(piece.encode())
    return table


def _steps(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The decoder's steps, a sequence flattened; no decoder is no step."""
    if decoder is None:
        return []
    return decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
