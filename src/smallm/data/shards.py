"""Documents to parquet shards, and dropped documents with their reasons.

The same rows give the same bytes: fixed row groups, no timestamps. Columns: id (32 hex), text, source.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smallm.core.files import sha256_file

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("source", pa.string())])
DROPPED_SCHEMA = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("reason", pa.string()), ("text", pa.string())]
)
GROUP_BYTES = 8_000_000
GROUP_ROWS = 20_000
KEPT_EXAMPLES = 100


class ParquetRows:
    """One parquet file written row by row, in groups of about 8 MB of text."""

    def __init__(self, path: Path, schema: pa.Schema, dictionary: list[str]) -> None:
        self.path, self.schema = path, schema
        options: dict[str, Any] = {"use_dictionary": dictionary}  # the stubs know only the boolean form
        self.writer = pq.ParquetWriter(path, schema, compression="zstd", **options)
        self.columns: list[list[Any]] = [[] for _ in schema]
        self.bytes = self.waiting = self.rows = 0

    def add(self, row: tuple[Any, ...], size: int) -> None:
        for column, value in zip(self.columns, row, strict=True):
            column.append(value)
        self.rows += 1
        self.bytes += size
        self.waiting += size
        if self.waiting >= GROUP_BYTES or len(self.columns[0]) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        arrays = [pa.array(c, type=f.type) for c, f in zip(self.columns, self.schema, strict=True)]
        self.writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
        self.columns = [[] for _ in self.schema]
        self.waiting = 0

    def close(self) -> None:
        if self.columns[0]:
            self._flush()
        self.writer.close()


class SplitWriter:
    """One split as `<split>-NNNNN-of-NNNNN.parquet` of about `shard_bytes` of text each."""

    def __init__(self, directory: Path, split: str, shard_bytes: int) -> None:
        self.directory, self.split, self.shard_bytes = directory, split, shard_bytes
        self.open: ParquetRows | None = None
        self.done: list[ParquetRows] = []
        self.documents = self.bytes = self.characters = 0

    def add(self, identity: bytes, text: str, source: str) -> int:
        """Write one document; returns its UTF-8 bytes."""
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
        if self.open and self.open.bytes + size > self.shard_bytes:
            self._close()
        if self.open is None:
            self.open = ParquetRows(self.directory / f"{self.split}-{len(self.done):05d}.tmp", SCHEMA, ["source"])
        self.open.add((identity.hex(), text, source), size)
        self.documents += 1
        self.bytes += size
        self.characters += len(text)
        return size

    def _close(self) -> None:
        if self.open:
            self.open.close()
            self.done.append(self.open)
            self.open = None

    def finish(self) -> dict[str, Any]:
        """Close, name the shards, and give the split's part of the manifest."""
        self._close()
        shards = []
        for i, shard in enumerate(self.done):
            path = self.directory / f"{self.split}-{i:05d}-of-{len(self.done):05d}.parquet"
            os.replace(shard.path, path)
            shards.append(
                {"path": path.name, "sha256": sha256_file(path), "documents": shard.rows, "bytes": shard.bytes}
            )
        return {"documents": self.documents, "bytes": self.bytes, "characters": self.characters, "shards": shards}


class DroppedWriter:
    """`dropped/<reason>.parquet`: id, source, reason of each, the text of the first 100."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: dict[str, ParquetRows] = {}
        self.counts: Counter[str] = Counter()

    def add(self, identity: bytes, text: str, source: str, reason: str) -> None:
        if reason not in self.files:
            self.directory.mkdir(exist_ok=True)
            path = self.directory / f"{reason}.parquet"
            self.files[reason] = ParquetRows(path, DROPPED_SCHEMA, ["source", "reason"])
        self.counts[reason] += 1
        kept = text if self.counts[reason] <= KEPT_EXAMPLES else None
        self.files[reason].add((identity.hex(), source, reason, kept), len(kept or ""))

    def finish(self) -> dict[str, int]:
        for file in self.files.values():
            file.close()
        return dict(sorted(self.counts.items()))
