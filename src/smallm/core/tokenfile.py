"""Token shards: `.bin` (a 256-byte header, then ids) and `.idx` (one record a document).

    .bin   magic "smallmT1", version u32, dtype u32 (2 or 4 bytes), count u64, tokenizer hash
           (32 bytes), zeros up to 256; then uint16 or uint32 ids, little-endian
    .idx   32 bytes a document: start u64, length u32 (tokens, BOS included), UTF-8 bytes u32
           of the text, id 16 bytes (the first half of the sha256 of the text)
    .mask  one byte a token: trained or not (fine-tuning only)

Reads with numpy alone, memory-mapped. Knows nothing of tokenizers or training.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smallm.core.errors import UserError

MAGIC = b"smallmT1"
VERSION = 1
HEADER_BYTES = 256
_HEADER = struct.Struct("<8sIIQ32s")
INDEX_DTYPE = np.dtype([("start", "<u8"), ("length", "<u4"), ("bytes", "<u4"), ("id", "V16")])


def header(count: int, itemsize: int, tokenizer_sha256: str) -> bytes:
    """The 256 bytes that open a `.bin`; `tokenizer_sha256` is hexadecimal."""
    packed = _HEADER.pack(MAGIC, VERSION, itemsize, count, bytes.fromhex(tokenizer_sha256))
    return packed.ljust(HEADER_BYTES, b"\0")


@dataclass(frozen=True)
class TokenShard:
    """One shard, memory-mapped. `ids` is the whole stream, `index` one record a document."""

    path: Path
    ids: np.ndarray
    index: np.ndarray
    tokenizer_sha256: str


def open_shard(path: Path) -> TokenShard:
    """Open `path` (.bin) and its .idx. Raises UserError when they are torn or do not agree."""
    index_path = path.with_suffix(".idx")
    for needed in (path, index_path):
        if not needed.is_file():
            raise UserError(f"{needed}: not there (a shard is a .bin and its .idx). Rerun `smallm run` to rebuild it.")
    size = path.stat().st_size
    with open(path, "rb") as f:
        head = f.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[:8] != MAGIC:
        raise UserError(f"{path}: not a smallm token file (its first 8 bytes are not {MAGIC.decode()}).")
    _, version, itemsize, count, digest = _HEADER.unpack(head[: _HEADER.size])
    if version != VERSION or itemsize not in (2, 4):
        raise UserError(
            f"{path}: version {version}, {itemsize} bytes a token; this smallm reads version {VERSION}, 2 or 4."
        )
    if size != HEADER_BYTES + count * itemsize:
        raise UserError(
            f"{path}: {size} bytes, but its header promises {count} tokens. Rerun `smallm run` to rebuild it."
        )
    ids = (
        np.memmap(path, dtype=f"<u{itemsize}", mode="r", offset=HEADER_BYTES, shape=(count,))
        if count
        else np.zeros(0, f"<u{itemsize}")
    )
    index = np.fromfile(index_path, dtype=INDEX_DTYPE)
    ends = np.cumsum(index["length"], dtype=np.uint64)
    fits = bool(np.array_equal(index["start"], ends - index["length"])) and (int(ends[-1]) if len(ends) else 0) == count
    if index_path.stat().st_size % INDEX_DTYPE.itemsize or not fits:
        raise UserError(
            f"{index_path}: does not belong to {path.name}: its documents do not tile the tokens. "
            "Rerun `smallm run` to rebuild it."
        )
    return TokenShard(path, ids, index, digest.hex())


def open_split(directory: Path, split: str) -> list[TokenShard]:
    """All shards `<split>-NNNNN.bin` of a tokens/ directory, in order."""
    return [open_shard(p) for p in sorted(directory.glob(f"{split}-*.bin"))]
