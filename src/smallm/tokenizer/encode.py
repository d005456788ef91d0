"""The tokens stage: data/*.parquet -> tokens/base/*.bin + .idx + manifest.json.

Streams: a batch of documents in, their ids out, so memory does not grow with the corpus.
Every document starts with BOS, which its length counts; names of specials inside a text are
plain text. Checked on every batch: the byte table sums to the text's UTF-8 length, and as
many documents leave as data/manifest.json counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from smallm.core.config import Recipe
from smallm.core.console import count, progress, say, warn
from smallm.core.errors import SmallmError
from smallm.core.files import new_directory, sha256_file, write_json
from smallm.core.run import Run
from smallm.core.tokenfile import HEADER_BYTES, INDEX_DTYPE, header
from smallm.tokenizer.byte_table import token_bytes
from smallm.tokenizer.directory import bos_id, load_tokenizer, tokenizer_sha256
from smallm.tokenizer.documents import Documents, read_documents, split_size
from smallm.tokenizer.words import id_dtype, make_encoder, nfc

SHARD_TOKENS = 100_000_000


def encode_data(recipe: Recipe, run: Run) -> Path:
    """Encode both splits of the run's data with the run's tokenizer. Returns tokens/base."""
    final = run.path / "tokens" / "base"
    with new_directory(final) as directory:
        manifest = encode_directory(run.path / "data", run.path / "tokenizer", directory)
        write_json(directory / "manifest.json", manifest)
    for split, entry in manifest["splits"].items():
        say(f"tokens: {split} {count(entry['tokens'])} tokens in {entry['documents']} documents")
    return final


def encode_directory(data: Path, tokenizer: Path, target: Path, shard_tokens: int = SHARD_TOKENS) -> dict[str, Any]:
    """Write the shards of both splits into `target`. Returns the manifest."""
    coder = Coder.open(tokenizer)
    splits: dict[str, Any] = {}
    for split in ("train", "validation"):
        documents, _ = split_size(data, split)
        writer = ShardWriter(target, split, coder.dtype, coder.sha256, shard_tokens)
        with progress(f"tokens of {split}", documents, "documents") as bar:
            for batch in read_documents(data, split):
                writer.write(batch.ids, *coder.encode(batch))
                bar.update(writer.documents)
        splits[split] = writer.close()
        if writer.documents != documents:
            raise SmallmError(
                f"{data}: manifest.json counts {documents} documents in {split}, but {writer.documents} were encoded. "
                "The parquet files were changed; rerun `smallm run` with --verify."
            )
        coder.tell(split)
    return {
        "tokenizer_sha256": coder.sha256,
        "vocab_size": coder.vocab_size,
        "dtype": coder.dtype.name,
        "splits": splits,
    }


@dataclass
class Coder:
    """A tokenizer ready for streams: its encoder, its byte table, what it could not express."""

    tokenizer: Any
    sha256: str
    unknown: int = 0
    unknown_characters: set[str] = field(default_factory=set)
    inexact: int = 0

    @classmethod
    def open(cls, directory: Path) -> Coder:
        return cls(load_tokenizer(directory), tokenizer_sha256(directory))

    def __post_init__(self) -> None:
        self.encoder = make_encoder(self.tokenizer.backend_tokenizer)
        self.table = token_bytes(self.tokenizer)
        self.vocab_size = len(self.table)
        self.dtype = id_dtype(self.vocab_size)
        self.bos = np.array([bos_id(self.tokenizer)], self.dtype)
        self.unk = self.tokenizer.unk_token_id

    def encode(self, batch: Documents) -> tuple[list[np.ndarray], list[int]]:
        """Ids of each document, BOS first, and its UTF-8 bytes (NFC)."""
        texts = [nfc(text) for text in batch.texts]
        sizes = [len(text.encode()) for text in texts]
        encoded = self.encoder(texts)
        for text, size, ids in zip(texts, sizes, encoded, strict=True):
            if int(self.table[ids].sum()) != size:
                self._miss(text, ids)
        return [np.concatenate([self.bos, ids]) for ids in encoded], sizes

    def _miss(self, text: str, ids: np.ndarray) -> None:
        """A document whose tokens do not spell it: unknown characters, or a tokenizer that changes text."""
        n = 0 if self.unk is None else int((ids == self.unk).sum())
        self.unknown += n
        self.inexact += 1
        if n and len(self.unknown_characters) < 20:
            self.unknown_characters |= set(text) - set(self.tokenizer.get_vocab())

    def tell(self, split: str) -> None:
        """Say what was not exact in this split, and forget it."""
        if self.unknown:
            seen = " ".join(repr(c) for c in sorted(self.unknown_characters)[:10])
            warn(f"{split}: {self.unknown} characters are not in the vocabulary and became {self.tokenizer.unk_token}: "
                 f"{seen}")  # fmt: skip
        elif self.inexact:
            warn(f"{split}: in {self.inexact} documents the tokens do not spell the text byte by byte (this tokenizer "
                 "changes text); bits per byte is then approximate")  # fmt: skip
        self.unknown, self.inexact, self.unknown_characters = 0, 0, set()


class ShardWriter:
    """Documents into `<split>-NNNNN.bin/.idx`, a new shard after `shard_tokens`."""

    def __init__(self, target: Path, split: str, dtype: np.dtype, sha256: str, shard_tokens: int) -> None:
        self.target, self.split, self.dtype, self.sha256, self.limit = target, split, dtype, sha256, shard_tokens
        self.shards: list[dict[str, Any]] = []
        self.documents = self.tokens = self.bytes = 0
        self.files: tuple[BinaryIO, BinaryIO] | None = None  # .bin, .idx

    def write(self, names: list[str], ids: list[np.ndarray], sizes: list[int]) -> None:
        """Append documents: their hexadecimal ids, token ids and UTF-8 bytes."""
        first = 0
        while first < len(ids):
            bin_file, idx_file = self.files or self._open()
            lengths = np.array([len(x) for x in ids[first:]], np.int64)
            ends = self.here + np.cumsum(lengths)
            n = min(len(lengths), int(np.searchsorted(ends, self.limit)) + 1)
            part = slice(first, first + n)
            index = np.zeros(n, INDEX_DTYPE)
            index["start"], index["length"], index["bytes"] = ends[:n] - lengths[:n], lengths[:n], sizes[part]
            index["id"] = np.frombuffer(b"".join(bytes.fromhex(x) for x in names[part]), "V16")
            bin_file.write(np.concatenate(ids[part]).astype(self.dtype, copy=False).tobytes())
            idx_file.write(index.tobytes())
            self.here, self.rows = int(ends[n - 1]), self.rows + n
            self.documents += n
            self.bytes += int(sum(sizes[part]))
            first += n
            if self.here >= self.limit:
                self._finish((bin_file, idx_file))

    def _open(self) -> tuple[BinaryIO, BinaryIO]:
        self.path = self.target / f"{self.split}-{len(self.shards):05d}.bin"
        self.files = open(self.path, "wb"), open(self.path.with_suffix(".idx"), "wb")  # noqa: SIM115 closed by _finish
        self.files[0].write(bytes(HEADER_BYTES))  # the count is known at the end
        self.here = self.rows = 0
        return self.files

    def _finish(self, files: tuple[BinaryIO, BinaryIO]) -> None:
        files[0].seek(0)
        files[0].write(header(self.here, self.dtype.itemsize, self.sha256))
        for file in files:
            file.close()
        self.files = None
        self.tokens += self.here
        self.shards.append(
            {
                "path": self.path.name,
                "sha256": sha256_file(self.path),
                "tokens": self.here,
                "documents": self.rows,
            }
        )

    def close(self) -> dict[str, Any]:
        """Finish the open shard. Returns the split's entry of the manifest."""
        if self.files is not None:
            self._finish(self.files)
        return {"documents": self.documents, "tokens": self.tokens, "bytes": self.bytes, "shards": self.shards}
