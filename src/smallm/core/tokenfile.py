"""Token shards: `.bin` (a 256-byte header, then ids), `.idx` (one record a document) and `.mask` (what is learned).

    .bin   magic "smallmT1", version u32, dtype u32 (2 or 4 bytes), count u64, tokenizer hash
           (32 bytes), zeros up to 256; then uint16 or uint32 ids, little-endian
    .idx   32 bytes a document: start u64, length u32 (tokens, BOS included), UTF-8 bytes u32
           of the text, id 16 bytes (the first half of the sha256 of the text)
    .mask  one byte a token, 1 = it is a label, 0 = it is not (fine-tuning only, where `bytes` of a document
           are those of the text that is learned)

Reads and writes with numpy alone, memory-mapped. Knows nothing of tokenizers or training.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
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
    """One shard, memory-mapped. `ids`: the stream; `index`: one record a document; `mask`: None = all is learned."""

    path: Path
    ids: np.ndarray
    index: np.ndarray
    tokenizer_sha256: str
    mask: np.ndarray | None = None


def open_shard(path: Path, *, masked: bool | None = None) -> TokenShard:
    """Open `path` (.bin), its .idx and its .mask. Raises UserError when they are torn or do not agree.

    `masked`: whether a mask must be there; None takes it where it is.
    """
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
    return TokenShard(path, ids, index, digest.hex(), _open_mask(path.with_suffix(".mask"), count, masked))


def _open_mask(path: Path, count: int, masked: bool | None) -> np.ndarray | None:
    """The mask of `count` tokens, memory-mapped. UserError: torn, or not there where one must be."""
    if masked is False or (masked is None and not path.is_file()):
        return None
    if not path.is_file():
        raise UserError(f"{path}: not there, so it cannot be told which tokens are learned. Rerun `smallm run`.")
    if path.stat().st_size != count:
        raise UserError(f"{path}: {path.stat().st_size} bytes, but there are {count} tokens. Rerun `smallm run`.")
    return np.memmap(path, dtype=np.uint8, mode="r", shape=(count,)) if count else np.zeros(0, np.uint8)


def open_split(directory: Path, split: str, *, masked: bool | None = None) -> list[TokenShard]:
    """All shards `<split>-NNNNN.bin` of a tokens/ directory, in order."""
    return [open_shard(p, masked=masked) for p in sorted(directory.glob(f"{split}-*.bin"))]


def write_shard(
    path: Path,
    rows: Sequence[np.ndarray],
    names: Sequence[bytes],
    sizes: Sequence[int],
    *,
    tokenizer_sha256: str,
    masks: Sequence[np.ndarray] | None = None,
) -> None:
    """Write documents (ids of one dtype, uint16 or uint32) as `path` (.bin), .idx and, with `masks`, .mask.

    `names`: 16 bytes each; `sizes`: UTF-8 bytes. ValueError: lists of different lengths, a mask of another length.
    """
    dtype = np.dtype("<u2") if not len(rows) else rows[0].dtype.newbyteorder("<")
    index = np.zeros(len(rows), INDEX_DTYPE)
    index["length"] = [len(row) for row in rows]
    index["start"] = np.cumsum(index["length"], dtype=np.uint64) - index["length"]
    for record, name, size in zip(index, names, sizes, strict=True):
        record["id"], record["bytes"] = np.void(name), size
    ids = np.concatenate([*rows, np.zeros(0, dtype)]).astype(dtype, copy=False)
    path.write_bytes(header(len(ids), dtype.itemsize, tokenizer_sha256) + ids.tobytes())
    path.with_suffix(".idx").write_bytes(index.tobytes())
    if masks is not None:
        if [len(mask) for mask in masks] != [len(row) for row in rows]:
            raise ValueError(f"{path}: a mask is not as long as its row")
        mask = np.concatenate([*(np.asarray(m, bool) for m in masks), np.zeros(0, bool)])
        path.with_suffix(".mask").write_bytes(mask.astype(np.uint8).tobytes())
