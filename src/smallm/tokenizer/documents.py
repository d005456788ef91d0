"""The documents of data/ as the tokenizer reads them: streamed, or an even sample in pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smallm.core.errors import UserError
from smallm.core.files import read_json

BATCH_BYTES = 4 << 20
PIECE = 8192  # characters; `tokenizers` counts words three times faster in such pieces than in whole books


@dataclass(frozen=True)
class Documents:
    """A batch of rows: equal-length lists."""

    ids: list[str]
    texts: list[str]
    sources: list[str]


def read_documents(data: Path, split: str) -> Iterator[Documents]:
    """Every document of a split in order, in batches of about BATCH_BYTES of text."""
    import pyarrow.parquet as pq

    paths = sorted(data.glob(f"{split}-*.parquet"))
    if not paths:
        raise UserError(f"{data}: no {split}-*.parquet there. Run `smallm run` so that the data stage makes them.")
    for path in paths:
        with pq.ParquetFile(path) as file:
            meta = file.metadata
            size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
            rows = max(1, min(8192, BATCH_BYTES * meta.num_rows // max(1, size)))
            for batch in file.iter_batches(batch_size=rows, columns=["id", "text", "source"]):
                columns = batch.to_pydict()
                yield Documents(columns["id"], columns["text"], columns["source"])


def split_size(data: Path, split: str) -> tuple[int, int]:
    """Documents and bytes of a split, from data/manifest.json."""
    entry = read_json(data / "manifest.json")["splits"][split]
    return int(entry["documents"]), int(entry["bytes"])


# Where a text may be cut so that the parts' ids are the whole's: before a word that opens a line
# (qwen2's pre-tokens never cross that), before a run of spaces (unigram), anywhere (char).
CUTS: dict[str, re.Pattern[str]] = {
    "bpe": re.compile(r"(?<=\n)(?=\w)"),
    "unigram": re.compile(r"(?<=[^ ])(?= )"),
    "char": re.compile(r""),
}


def pieces(text: str, kind: str, size: int = PIECE) -> Iterator[str]:
    """Parts of about `size` characters, cut where ids allow; one without such a place is cut at 8 times the size."""
    cut = CUTS.get(kind, CUTS["bpe"])
    start = 0
    while len(text) - start > size:
        found = cut.search(text, start + size)
        end = min(found.start() if found else len(text), start + 8 * size)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def sample(data: Path, split: str, limit: int, kind: str) -> Iterator[tuple[str, str]]:
    """(text, source) pieces of at most about `limit` bytes, spread evenly over the split's documents.

    All of it when it is not larger. Which pieces are taken follows from sizes alone.
    """
    _, total = split_size(data, split)
    share = min(1.0, limit / total) if total else 1.0
    owed = 0.0
    for batch in read_documents(data, split):
        for text, source in zip(batch.texts, batch.sources, strict=True):
            if share == 1.0:
                yield from ((piece, source) for piece in pieces(text, kind))
                continue
            for piece in pieces(text, kind):
                owed += share * len(piece)
                if owed >= len(piece) / 2:
                    owed -= len(piece)
                    yield piece, source


def counted(texts: Iterator[tuple[str, str]], count: Callable[[int], None]) -> Iterator[str]:
    """The texts alone; `count` is told the UTF-8 bytes of each."""
    for text, _ in texts:
        count(len(text.encode()))
        yield text
