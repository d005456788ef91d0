"""Token files for the tests of train/: written as tokenizer/encode.py writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smallm.core.files import sha256_file, write_json
from smallm.core.tokenfile import INDEX_DTYPE, TokenShard, header, open_shard

TOKENIZER_SHA256 = "ab" * 32


def write_shard(path: Path, documents: Sequence[np.ndarray], tokenizer_sha256: str = TOKENIZER_SHA256) -> TokenShard:
    """One shard; a document's bytes are three times its tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    index = np.zeros(len(documents), INDEX_DTYPE)
    at = 0
    for i, ids in enumerate(documents):
        name = hashlib.sha256(i.to_bytes(8, "little") + ids.tobytes()).digest()[:16]
        index[i] = (at, len(ids), 3 * len(ids), np.void(name))
        at += len(ids)
    ids = np.concatenate(documents).astype("<u2") if documents else np.zeros(0, "<u2")
    path.write_bytes(header(len(ids), 2, tokenizer_sha256) + ids.tobytes())
    path.with_suffix(".idx").write_bytes(index.tobytes())
    return open_shard(path)


def documents_of(lengths: Sequence[int], vocab: int = 64, seed: int = 0) -> list[np.ndarray]:
    """Documents that start with BOS (0) and have a pattern to learn: each token is the last plus 1, 2 or 3."""
    generator = np.random.default_rng(seed)
    found = []
    for length in lengths:
        steps = generator.integers(1, 4, size=length)
        ids = 1 + (generator.integers(vocab) + np.cumsum(steps)) % (vocab - 1)
        ids[0] = 0
        found.append(ids.astype(np.uint16))
    return found


def write_tokens(directory: Path, train: Sequence[int], validation: Sequence[int], vocab: int = 64) -> Path:
    """A tokens/base directory with a manifest."""
    splits = {}
    for number, (split, lengths) in enumerate({"train": train, "validation": validation}.items()):
        shard = write_shard(directory / f"{split}-00000.bin", documents_of(lengths, vocab, seed=number))
        splits[split] = {
            "documents": len(lengths),
            "tokens": int(sum(lengths)),
            "bytes": 3 * int(sum(lengths)),
            "shards": [
                {
                    "path": shard.path.name,
                    "sha256": sha256_file(shard.path),
                    "tokens": int(sum(lengths)),
                    "documents": len(lengths),
                }
            ],
        }
    manifest = {"tokenizer_sha256": TOKENIZER_SHA256, "dtype": "uint16", "splits": splits, "vocab_size": vocab}
    write_json(directory / "manifest.json", manifest)
    return directory
