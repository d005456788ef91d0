"""Held-out documents: whole, in a fixed random order, of the right tokenizer; gzip beside them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smallm.core.errors import UserError
from smallm.core.files import sha256_bytes
from smallm.core.tokenfile import INDEX_DTYPE, header
from smallm.evaluate.heldout import gzip_bits_per_byte, held_out_documents

TOKENIZER = "ab" * 32


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Twelve documents in two shards, one id a byte, BOS = 0."""
    texts = [f"document {i} " + "very " * i + "good." for i in range(12)]
    rows = [{"id": sha256_bytes(t.encode())[:32], "text": t, "source": "ab"[i % 2]} for i, t in enumerate(texts)]
    for number, shard in enumerate((rows[:7], rows[7:])):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "tokens" / "base").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(shard), tmp_path / "data" / f"validation-{number:05d}-of-00002.parquet")
        ids = [np.frombuffer(b"\0" + row["text"].encode(), np.uint8).astype("<u2") for row in shard]
        index = np.zeros(len(shard), INDEX_DTYPE)
        start = 0
        for record, row, document in zip(index, shard, ids, strict=True):
            record["start"], record["length"], record["bytes"] = start, len(document), len(row["text"])
            record["id"] = np.void(bytes.fromhex(row["id"]))
            start += len(document)
        bin_path = tmp_path / "tokens" / "base" / f"validation-{number:05d}.bin"
        bin_path.write_bytes(header(start, 2, TOKENIZER) + np.concatenate(ids).tobytes())
        bin_path.with_suffix(".idx").write_bytes(index.tobytes())
    return tmp_path


def test_all_documents_come_back_with_their_source_and_text(run: Path):
    documents = held_out_documents(run, TOKENIZER, 10**9)
    assert len(documents) == 12
    assert [d.id for d in documents] == sorted(d.id for d in documents)
    for document in documents:
        text = bytes(document.ids_T[1:].astype(np.uint8)).decode()
        assert (document.ids_T[0], document.bytes, document.tokens) == (0, len(text), len(text))
        assert document.source == "ab"[int(text.split()[1]) % 2]


def test_a_budget_takes_whole_documents_from_the_same_start(run: Path):
    everything = held_out_documents(run, TOKENIZER, 10**9)
    some = held_out_documents(run, TOKENIZER, 100)
    assert [d.id for d in some] == [d.id for d in everything[: len(some)]]
    assert sum(d.tokens for d in some) <= 100
    assert len(held_out_documents(run, TOKENIZER, 1)) == 1


def test_tokens_of_another_tokenizer_are_refused(run: Path):
    with pytest.raises(UserError, match="another tokenizer"):
        held_out_documents(run, "cd" * 32, 100)


def test_a_run_without_tokens_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no validation tokens"):
        held_out_documents(tmp_path, TOKENIZER, 100)


def test_gzip_is_measured_on_the_same_documents_and_on_no_others(run: Path):
    documents = held_out_documents(run, TOKENIZER, 100)
    figures = gzip_bits_per_byte(run / "data", documents)
    wanted = {d.id for d in documents}
    texts = {"a": b"", "b": b""}
    for shard in sorted((run / "data").glob("*.parquet")):
        for row in pq.read_table(shard).to_pylist():
            if row["id"] in wanted:
                texts[row["source"]] += row["text"].encode()
    for source, value in figures["by_source"].items():
        assert value == pytest.approx(8 * len(gzip.compress(texts[source], 9)) / len(texts[source]))
    sizes = [len(gzip.compress(t, 9)) for t in texts.values() if t]
    assert figures["value"] == pytest.approx(8 * sum(sizes) / sum(map(len, texts.values())))
