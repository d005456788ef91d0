"""Scores that were computed before: parquet files named by what they belong to, so that altered weights never hit.

A file's name is the hash of weights, tokenizer, the scorer's settings (configuration, dtype, quantisation, …), the
task's version and our own version; in it, a row a request, found by the request's hash. A file is written beside and
renamed; one that is torn, or not ours, is passed over with a warning and written anew. A model whose weights cannot be
known (a server) is never cached.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from smallm import __version__
from smallm.core.console import warn
from smallm.core.files import cache_directory, sha256_bytes, sha256_json, write_bytes
from smallm.evaluate.requests import Request, Score

# Counts up when scoring changes its results: older files then belong to something else.
SCORING = 1
MARK = "smallm-scores-1"
# A value is a Score, or the text of a generation.
Value = Score | str


class Identity(Protocol):
    """What a score belongs to: the part of a Scorer that the cache reads."""

    weights_sha256: str | None
    tokenizer_sha256: str
    settings: dict[str, Any]


def default_directory() -> Path:
    """Where scores are kept, if nothing else is said."""
    return cache_directory("scores")


def request_key(request: Request) -> str:
    """Of a continuation after a context."""
    return sha256_json(["loglikelihood", request.context, request.continuation])[:32]


def text_key(text: str) -> str:
    """Of a whole text in rolling windows."""
    return sha256_json(["rolling", text])[:32]


def prompt_key(prompt: str, until: Sequence[str], max_new_tokens: int) -> str:
    """Of a generation, which its limits belong to."""
    return sha256_json(["generate", prompt, list(until), max_new_tokens])[:32]


@dataclass
class ScoreCache:
    """The cache of one directory. `open` gives the scores of one model on one task."""

    directory: Path = field(default_factory=default_directory)
    said: bool = False

    def open(self, scorer: Identity, task_version: str) -> CacheFile | None:
        """The file of this model and task; None (said once) where the weights cannot be known."""
        if scorer.weights_sha256 is None:
            if not self.said:
                warn("the weights behind this model cannot be known from here, so its scores are not cached.")
            self.said = True
            return None
        key = cache_key(scorer, task_version)
        return CacheFile(self.directory / key[:2] / f"{key}.parquet", key)


def cache_key(scorer: Identity, task_version: str) -> str:
    """64 hexadecimal digits over everything that a score depends on."""
    parts = [scorer.weights_sha256, scorer.tokenizer_sha256, scorer.settings, task_version, SCORING, __version__]
    return sha256_json(parts)


class CacheFile:
    """Scores by request, read when opened; `add` keeps more, `save` writes them all."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.values: dict[str, Value] = self._read()
        self.new = 0

    def get(self, key: str) -> Value | None:
        return self.values.get(key)

    def add(self, values: Mapping[str, Value]) -> None:
        self.values.update(values)
        self.new += len(values)

    def save(self) -> None:
        """Write what is new beside what is there; another process's additions since are kept."""
        if not self.new:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.values = {**self._read(), **self.values}
        table = pa.table(_columns(self.values), schema=_schema(pa))
        # The whole content's hash, so that a file that opens but was altered is seen for what it is.
        table = table.replace_schema_metadata({"smallm": MARK, "key": self.key, "sha256": _content_sha256(self.values)})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        try:
            write_bytes(self.path, buffer.getvalue())
        except OSError as error:  # scores are dear, the run goes on without the cache
            warn(f"{self.path}: scores cannot be cached ({error.strerror}). Set SMALLM_CACHE to a directory of yours.")
        self.new = 0

    def _read(self) -> dict[str, Value]:
        if not self.path.is_file():
            return {}
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(io.BytesIO(self.path.read_bytes()))
            meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
            if (
                meta.get("smallm") != MARK
                or meta.get("key") != self.key
                or table.schema.names != list(_schema(pa).names)
            ):
                raise ValueError("another file's content")
            values = _values(table.to_pydict())
            if _content_sha256(values) != meta.get("sha256"):
                raise ValueError("altered since it was written")
            return values
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0][:120]
            warn(f"{self.path}: not a file of scores ({line}); it is passed over and written anew.")
            return {}


def _schema(pa: Any) -> Any:
    return pa.schema(
        [
            ("request", pa.string()),
            ("logprob", pa.float64()),
            ("greedy", pa.bool_()),
            ("tokens", pa.int64()),
            ("marks", pa.list_(pa.string())),
            ("text", pa.string()),  # of a generation; null for a score
        ]
    )


def _columns(values: Mapping[str, Value]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in ("request", "logprob", "greedy", "tokens", "marks", "text")}
    for key, value in values.items():
        columns["request"].append(key)
        scored = isinstance(value, Score)
        columns["logprob"].append(value.logprob if scored else None)
        columns["greedy"].append(value.greedy if scored else None)
        columns["tokens"].append(value.tokens if scored else None)
        columns["marks"].append(list(value.marks) if scored else None)
        columns["text"].append(None if scored else value)
    return columns


def _values(columns: Mapping[str, list[Any]]) -> dict[str, Value]:
    rows = zip(*(columns[name] for name in ("request", "logprob", "greedy", "tokens", "marks", "text")), strict=True)
    return {
        request: text if text is not None else Score(float(logprob), bool(greedy), int(tokens), tuple(marks))
        for request, logprob, greedy, tokens, marks, text in rows
    }


def _content_sha256(values: Mapping[str, Value]) -> str:
    rows = (f"{key} {value!r}" for key, value in values.items())
    return sha256_bytes("\n".join(rows).encode("utf-8", "surrogatepass"))
