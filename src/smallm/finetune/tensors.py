"""Safetensors read and written a piece at a time: no file is mapped, no tensor but the one at hand is in memory.

Mapped files count as resident memory wherever a limit is set, and the library's writer wants all tensors at once: a
merge of 3.8B parameters would not pass through the 12.7 GB of a free Colab. The format is eight bytes of header length,
a JSON header, and the data; what is written here the library opens, and the other way round (tests).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from smallm.core.errors import UserError
from smallm.core.files import sha256_json, write_json
from smallm.model.resolve import INDEX, WEIGHTS

FORMATS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in FORMATS.items()}
SHARD_BYTES = 5_000_000_000
# Elements of one piece: 16 MB in float32.
PIECE = 1 << 22


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: file, first byte there, format, shape."""

    path: Path
    begin: int
    dtype: torch.dtype
    shape: tuple[int, ...]


class Tensors:
    """The tensors of safetensors files by name; each read goes to the disk. UserError: torn files, unknown formats."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.entries: dict[str, Entry] = {}
        for path in paths:
            self.entries |= _header(path)

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def read(self, name: str) -> Tensor:
        """The whole tensor."""
        entry = self.entries[name]
        return self._read(name, 0, math.prod(entry.shape)).view(entry.shape)

    def rows(self, name: str) -> Iterator[tuple[int, Tensor]]:
        """(first row, rows) of a tensor, in pieces of about PIECE elements; a scalar or vector comes whole."""
        entry = self.entries[name]
        if len(entry.shape) < 2 or math.prod(entry.shape) <= PIECE:
            yield 0, self.read(name)
            return
        width = math.prod(entry.shape[1:])
        step = max(1, PIECE // width)
        for first in range(0, entry.shape[0], step):
            count = min(step, entry.shape[0] - first)
            yield first, self._read(name, first * width, count * width).view(count, *entry.shape[1:])

    def _read(self, name: str, first: int, count: int) -> Tensor:
        entry = self.entries[name]
        data = bytearray(count * entry.dtype.itemsize)
        with open(entry.path, "rb") as f:
            f.seek(entry.begin + first * entry.dtype.itemsize)
            if f.readinto(data) != len(data):
                raise UserError(f"{entry.path}: torn: {name} ends before its {len(data)} bytes. Copy the file again.")
        return torch.frombuffer(data, dtype=entry.dtype) if count else torch.empty(0, dtype=entry.dtype)


def _header(path: Path) -> dict[str, Entry]:
    try:
        with open(path, "rb") as f:
            length = int.from_bytes(f.read(8), "little")
            if not 0 < length <= min(100_000_000, path.stat().st_size):
                raise ValueError("no header")
            header = json.loads(f.read(length))
        found = {}
        for name, value in header.items():
            if name == "__metadata__":
                continue
            if value["dtype"] not in FORMATS:
                raise UserError(f"{path}: {name} is stored as {value['dtype']}, which smallm does not read.")
            begin, end = value["data_offsets"]
            entry = Entry(path, 8 + length + begin, FORMATS[value["dtype"]], tuple(value["shape"]))
            if end - begin != math.prod(entry.shape) * entry.dtype.itemsize or 8 + length + end > path.stat().st_size:
                raise ValueError(f"{name} is cut off")
            found[name] = entry
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: torn or not safetensors ({error!r}).") from None


@dataclass(frozen=True)
class Output:
    """One tensor to be written: `pieces` gives its elements in order, each piece in `dtype`."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[Tensor]]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write_shards(
    directory: Path,
    outputs: Sequence[Output],
    *,
    shard_bytes: int = SHARD_BYTES,
    done: Callable[[int], None] = lambda n: None,
) -> str:
    """model.safetensors, or shards and their index; gives the hash of the weights as evaluate/identity.py has it.

    `done` is told how many tensors are written.
    """
    shards: list[list[Output]] = [[]]
    for output in outputs:
        if shards[-1] and sum(o.bytes for o in shards[-1]) + output.bytes > shard_bytes:
            shards.append([])
        shards[-1].append(output)
    n = len(shards)
    names = [WEIGHTS] if n == 1 else [f"model-{i:05d}-of-{n:05d}.safetensors" for i in range(1, n + 1)]
    hashes, written = [], 0
    for name, shard in zip(names, shards, strict=True):
        digest = _write(directory / name, shard, lambda k, before=written: done(before + k))
        hashes.append([name, digest])
        written += len(shard)
    if n == 1:
        return hashes[0][1]
    index = {o.name: name for name, shard in zip(names, shards, strict=True) for o in shard}
    write_json(
        directory / INDEX, {"metadata": {"total_size": sum(o.bytes for o in outputs)}, "weight_map": index}
    )  # fmt: skip
    return sha256_json(hashes)


def _write(path: Path, outputs: Sequence[Output], done: Callable[[int], None]) -> str:
    """One file; its sha256, taken while it is written."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for output in outputs:
        header[output.name] = {
            "dtype": NAMES[output.dtype], "shape": list(output.shape), "data_offsets": [at, at + output.bytes]
        }  # fmt: skip
        at += output.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "wb") as f:

        def put(data: Any) -> None:
            digest.update(data)
            f.write(data)

        put(len(text).to_bytes(8, "little") + text)
        for k, output in enumerate(outputs, 1):
            size = 0
            for piece in output.pieces():
                assert piece.dtype == output.dtype, f"{output.name}: {piece.dtype}, planned {output.dtype}"
                if piece.numel():
                    data = memoryview(piece.contiguous().view(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
                    size += len(data)
                    put(data)
            assert size == output.bytes, f"{output.name}: {size} bytes, planned {output.bytes}"
            done(k)
        f.flush()
        os.fsync(f.fileno())
    return digest.hexdigest()
