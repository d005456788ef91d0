"""tokenizer/report.json: what the tokenizer does to this data, measured.

Bytes per token on held-out documents, overall and by source; how many tokens of the
vocabulary a sample of both splits uses; the longest tokens.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from smallm.tokenizer.byte_table import token_bytes
from smallm.tokenizer.directory import load_tokenizer, tokenizer_sha256
from smallm.tokenizer.documents import sample
from smallm.tokenizer.words import make_encoder

SAMPLE_BYTES = 8_000_000
LONGEST = 20


def make_report(directory: Path, data: Path, kind: str, trained_on_bytes: int, seconds: float) -> dict[str, Any]:
    """The content of report.json for the tokenizer in `directory`, measured on `data`."""
    tokenizer = load_tokenizer(directory)
    encode = make_encoder(tokenizer.backend_tokenizer)
    table = token_bytes(tokenizer)
    used = np.zeros(len(table), bool)
    n_bytes: dict[str, int] = defaultdict(int)
    n_tokens: dict[str, int] = defaultdict(int)
    for split in ("train", "validation"):
        for text, source in sample(data, split, SAMPLE_BYTES, kind):
            ids = encode([text])[0]
            used[ids] = True
            if split == "validation":
                n_bytes[source] += len(text.encode())
                n_tokens[source] += len(ids)
    return {
        "kind": kind,
        "vocab_size": len(table),
        "used_tokens": int(used.sum()),
        "bytes_per_token": _ratio(sum(n_bytes.values()), sum(n_tokens.values())),
        "by_source": {name: _ratio(n_bytes[name], n_tokens[name]) for name in sorted(n_bytes)},
        "longest_tokens": longest_tokens(tokenizer, table),
        "trained_on_bytes": trained_on_bytes,
        "seconds": round(seconds, 3),
        "sha256": tokenizer_sha256(directory),
    }


def _ratio(n_bytes: int, n_tokens: int) -> float | None:
    return round(n_bytes / n_tokens, 4) if n_tokens else None


def longest_tokens(tokenizer: Any, table: np.ndarray) -> list[str]:
    """The tokens of most bytes that are whole characters, longest first."""
    found: list[str] = []
    for i in np.argsort(-table, kind="stable"):
        text = tokenizer.backend_tokenizer.decode([int(i)], skip_special_tokens=False)
        if table[i] and "\ufffd" not in text:
            found.append(text)
        if len(found) == LONGEST:
            break
    return found
