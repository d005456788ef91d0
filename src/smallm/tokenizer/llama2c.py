"""The tokenizer file of llama2.c (`tokenizer.bin`, `tok512.bin`) as a tokenizer directory.

It holds sentencepiece's pieces and scores: BPE with byte fallback, a space put before the text, <s> first.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from smallm.core.errors import UserError
from smallm.core.files import write_json, write_text

SPACE = "\u2581"
SPECIALS = ("<unk>", "<s>", "</s>")


def read_llama2c_tokenizer(path: Path) -> Tokenizer:
    """int32 longest piece, then float32 score, int32 length and bytes of each piece. UserError: another file."""
    raw = path.read_bytes()
    pieces: list[str] = []
    at = 4
    try:
        while at < len(raw):
            _, length = struct.unpack_from("<fi", raw, at)
            if not 0 <= length <= len(raw) - at - 8:
                raise ValueError(f"a piece of {length} bytes at byte {at}")
            pieces.append(raw[at + 8 : at + 8 + length].decode("utf-8").replace(" ", SPACE))
            at += 8 + length
    except (struct.error, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise UserError(f"{path}: not a tokenizer of llama2.c ({error}).") from None
    if len(pieces) < 259:
        raise UserError(f"{path}: {len(pieces)} pieces; a tokenizer of llama2.c has 3 specials, 256 bytes and more.")
    pieces[:3] = SPECIALS
    ids = {piece: i for i, piece in enumerate(pieces)}
    # The scores fall with the id: of two pairs the one whose whole has the lower id is merged first.
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces[259:]
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])  # type: ignore[assignment]
    tokenizer.decoder = decoders.Sequence(  # type: ignore[assignment]
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(x, special=True, normalized=False) for x in SPECIALS])
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def write_llama2c_tokenizer(tokenizer: Tokenizer, directory: Path, context: int) -> None:
    """tokenizer.json and tokenizer_config.json."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
    write_text(directory / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
    write_json(directory / "tokenizer_config.json", config)
