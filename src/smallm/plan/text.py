"""How much text there is, before or after it was read: the planner's bytes and tokens.

A run that has its data and tokens knows exactly; otherwise sizes of files are read, not the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smallm.core.config import Recipe, SourceConfig
from smallm.core.errors import UserError
from smallm.core.files import read_json
from smallm.data.paths import list_files
from smallm.data.python_docs import module_files

BYTES_PER_TOKEN = 4.0  # byte-level BPE on English prose; a character tokenizer has 1
COMPRESSION = 3.0  # text under gzip or zstd, and in parquet
PROSE = 0.29  # docstrings and comments in the standard library's bytes (measured on 3.11: 2.59 of 8.93 MB)


@dataclass(frozen=True)
class Text:
    """Training text. `tokens` None: nobody knows before it is read (a Hub dataset)."""

    bytes: int | None
    tokens: int | None
    known: bool
    note: str


def text_at_hand(recipe: Recipe, run: Path | None) -> Text:
    """Exact from the run's manifests, estimated from the sources' sizes otherwise."""
    if run is not None:
        try:
            split = read_json(run / "tokens" / "base" / "manifest.json")["splits"]["train"]
            return Text(int(split["bytes"]), int(split["tokens"]), True, f"counted in {run / 'tokens' / 'base'}")
        except (OSError, ValueError, KeyError, TypeError):
            pass
    per_token = 1.0 if recipe.tokenizer.kind == "char" else BYTES_PER_TOKEN
    sizes = [source_bytes(source) for source in recipe.data.sources]
    if not sizes:
        return Text(0, 0, False, "data.sources is empty")
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return Text(None, None, False, "a source without `size:` whose length only reading it tells")
    total = int(sum(known) * (1 - recipe.data.validation))
    return Text(total, int(total / per_token), False, f"estimated from file sizes, {per_token:g} bytes a token")


def source_bytes(source: SourceConfig) -> int | None:
    """Bytes of text in a source, by its files' sizes; None when only reading it tells."""
    if source.builtin:
        prose = int(PROSE * sum(f.path.stat().st_size for f in module_files()))
        return min(prose, source.size or prose)
    if source.path is None:
        return source.size
    try:
        files = list_files(source.path).files
    except UserError:
        return 0  # `smallm run` says what is wrong with it
    found = sum(f.path.stat().st_size * (COMPRESSION if f.compressed or f.kind == "parquet" else 1) for f in files)
    return int(min(found, source.size or found))
