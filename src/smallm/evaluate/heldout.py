"""Held-out documents of a run: their tokens from tokens/base, their sources and texts from data/.

Order is by document id (a hash), so that a budget of tokens takes a random share of every source, the same
one each time. Their scores are a task like any other, `held-out`, so that two runs compare document by document. Also
gzip's bits per byte on the same documents, the yardstick that knows no language.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smallm.core import yamltree
from smallm.core.errors import UserError
from smallm.core.files import sha256_json
from smallm.core.tokenfile import open_split
from smallm.evaluate.bits_per_byte import Document, Scores
from smallm.evaluate.run_tasks import ItemRecord, TaskResult
from smallm.evaluate.summary import summarise_task
from smallm.evaluate.tasks import Item, Task, parse_task

HELD_OUT = """
task: held-out
about: documents held out of training, whole
data: validation
text: "{{text}}"
metrics: [bits_per_byte, token_perplexity]
"""
# Of a document's text the items show so much.
SHOWN_CHARACTERS = 300


def held_out_documents(run: Path, tokenizer_sha256: str | None, max_tokens: int) -> list[Document]:
    """Whole documents in the order of their ids until the next would pass `max_tokens` (at least one).

    Raises UserError when there are no tokens or when another tokenizer made them.
    """
    shards = open_split(run / "tokens" / "base", "validation")
    if not shards:
        raise UserError(f"{run / 'tokens' / 'base'}: no validation tokens. Run `smallm run` without --only.")
    for shard in shards:
        if tokenizer_sha256 and shard.tokenizer_sha256 != tokenizer_sha256:
            raise UserError(
                f"{shard.path}: made by another tokenizer ({shard.tokenizer_sha256[:4]}…) than the model's "
                f"({tokenizer_sha256[:4]}…). They come from different runs; rerun `smallm run`."
            )
    rows = sorted(
        (bytes(record["id"]).hex(), number, row)
        for number, shard in enumerate(shards)
        for row, record in enumerate(shard.index)
        if record["length"] > 1 and record["bytes"] > 0
    )
    sources = {row["id"]: row["source"] for row in texts_of(run / "data", "validation", ["id", "source"])}
    chosen: list[Document] = []
    tokens = 0
    for name, number, row in rows:
        record = shards[number].index[row]
        tokens += int(record["length"]) - 1
        if chosen and tokens > max_tokens:
            break
        start = int(record["start"])
        ids_T = np.asarray(shards[number].ids[start : start + int(record["length"])])
        chosen.append(Document(name, sources.get(name, "unknown"), ids_T, int(record["bytes"])))
    if not chosen:
        raise UserError(f"{run / 'tokens' / 'base'}: every held-out document is empty. Give data.validation more.")
    return chosen


def held_out_result(data: Path, scores: Scores) -> TaskResult:
    """The scores as the task `held-out`: an item a document, under the document's id, with the opening of its text."""
    wanted = set(scores.id)
    rows = texts_of(data, "validation", ["id", "text"])
    opening = {row["id"]: _opening(row["text"]) for row in rows if row["id"] in wanted}
    records = []
    columns = (scores.id, scores.source, *(x.tolist() for x in (scores.nats_N, scores.tokens_N, scores.bytes_N)))
    for name, source, nats, tokens, size in zip(*columns, strict=True):
        figures = {"nats": nats, "bits": nats / math.log(2), "bytes": float(size), "scored": float(tokens)}
        item = Item(name, opening.get(name, ""), cluster=name, source=source, bytes=size)
        records.append(ItemRecord(item, (-nats,), (tokens,), values=figures))
    spec = parse_task(yamltree.parse(HELD_OUT, "held-out"))
    metrics = spec.values["metrics"]
    version = sha256_json(scores.id)[:8]
    task = Task(spec.name, version, spec.kind, tuple(r.item for r in records), metrics, metrics[0], spec)
    return TaskResult(task, tuple(records), summarise_task(task, records), 0.0, 0)


def _opening(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def texts_of(data: Path, split: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of a split's parquet shards, one at a time."""
    import pyarrow.parquet as pq

    for shard in sorted(data.glob(f"{split}-*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(columns=list(columns), batch_size=1024):
            yield from batch.to_pylist()


def gzip_bits_per_byte(data: Path, documents: Iterable[Document]) -> dict[str, Any]:
    """What `gzip -9` needs for the same documents: each source compressed as one stream, by source and in all."""
    wanted = {document.id for document in documents}
    streams: dict[str, Any] = {}
    packed: dict[str, int] = {}
    plain: dict[str, int] = {}
    for row in texts_of(data, "validation", ["id", "source", "text"]):
        if row["id"] not in wanted:
            continue
        raw, source = row["text"].encode("utf-8"), row["source"]
        stream = streams.setdefault(source, zlib.compressobj(9, zlib.DEFLATED, 31))
        packed[source] = packed.get(source, 0) + len(stream.compress(raw))
        plain[source] = plain.get(source, 0) + len(raw)
    for source, stream in streams.items():
        packed[source] += len(stream.flush())
    if not sum(plain.values()):
        return {"value": None, "by_source": {}}
    by_source = {source: 8 * packed[source] / plain[source] for source in sorted(plain) if plain[source]}
    return {"value": 8 * sum(packed.values()) / sum(plain.values()), "by_source": by_source}
