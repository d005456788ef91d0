"""A vocabulary-only GGUF of a byte-level BPE tokenizer trained here: what llama.cpp reads of it.

llama.cpp's pre-tokenizer `qwen2` is ours; it does no NFC, so text goes in normalised. Over every
code point of planes 0 and 1 in seven contexts, llama-cpp-python 0.3.36 splits otherwise in two
places only: letters and digits that Unicode 16 and 17 added (its tables are older), and a long s
after an apostrophe, which `(?i:'s)` takes for a contraction. The file opens with
`vocab_only=True`. export/ writes the same keys into a whole model through `add_vocabulary`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallm.core.errors import UserError
from smallm.tokenizer.bpe import empty_bpe
from smallm.tokenizer.char import NO_GGUF
from smallm.tokenizer.directory import bos_id, load_tokenizer
from smallm.tokenizer.train import kind_of

if TYPE_CHECKING:
    from gguf import GGUFWriter

NORMAL, CONTROL, UNUSED = 1, 3, 5  # gguf.TokenType


def add_vocabulary(writer: GGUFWriter, directory: Path, vocab_size: int | None = None) -> None:
    """Add the tokenizer in `directory` to a GGUF; `vocab_size` pads to the model's rows.

    Raises UserError for a kind without a GGUF form here: character-level, unigram, or a
    pre-tokenizer that is not qwen2's.
    """
    kind = kind_of(directory)
    data = json.loads((directory / "tokenizer.json").read_text("utf-8"))
    if kind == "char":
        raise UserError(f"{directory}: {NO_GGUF}")
    if kind != "bpe" or data["pre_tokenizer"] != json.loads(empty_bpe().to_str())["pre_tokenizer"]:
        raise UserError(
            f"{directory}: only byte-level BPE with the pre-tokenizer of qwen2 is written to GGUF (this one: {kind}). "
            "Train with tokenizer.kind: bpe."
        )
    tokenizer: Any = load_tokenizer(directory)
    tokens, types = _tokens(data, vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]])
    writer.add_bos_token_id(bos_id(tokenizer))
    writer.add_eos_token_id(int(tokenizer.eos_token_id))
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(int(tokenizer.pad_token_id))
    writer.add_add_bos_token(True)  # every training document began with it
    if tokenizer.chat_template:
        writer.add_chat_template(str(tokenizer.chat_template))


def _tokens(data: dict[str, Any], vocab_size: int | None) -> tuple[list[str], list[int]]:
    """Pieces and their gguf types in id order, padded with unused ones."""
    pieces = {i: piece for piece, i in data["model"]["vocab"].items()} | {
        t["id"]: t["content"] for t in data["added_tokens"]
    }
    special = {t["id"] for t in data["added_tokens"] if t["special"]}
    size = max(len(pieces), vocab_size or 0)
    tokens = [pieces.get(i, f"[PAD{i}]") for i in range(size)]
    return tokens, [CONTROL if i in special else NORMAL if i in pieces else UNUSED for i in range(size)]


def write_vocab_gguf(directory: Path, path: Path) -> Path:
    """Write `path`, a GGUF with the vocabulary of the tokenizer in `directory` and no tensors."""
    from gguf import GGUFWriter

    # Any architecture that llama.cpp knows will do: with vocab_only it reads no layer.
    writer = GGUFWriter(path, "qwen3")
    writer.add_context_length(1024)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    add_vocabulary(writer, directory)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
