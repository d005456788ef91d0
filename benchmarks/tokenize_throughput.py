"""Tokenising end to end: data/*.parquet to tokens/*.bin, in MB of text a second, and the memory it takes.

    python benchmarks/tokenize_throughput.py [JSONL.GZ] [--pairs 5] [--vocab-size 4096]

Ours is the tokens stage (read parquet, encode, write shards, hash); the peer is `tokenizers`
itself, `encode_batch_fast` on both cores in pieces of 8 kB (its best size here) with no reading
and no writing on its clock. Both give the same ids, checked first. The floor that we hold: 5 MB/s.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import os
import sys
import tempfile
import threading
import time
import unicodedata
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
from _common import Peer, alternate, record
from tokenizers import Tokenizer

from smallm.core.tokenfile import open_split
from smallm.tokenizer.bpe import train_bpe
from smallm.tokenizer.directory import load_tokenizer, write_directory
from smallm.tokenizer.documents import pieces, read_documents, sample
from smallm.tokenizer.encode import encode_directory

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "eltec-eng.jsonl.gz"


def write_data(source: Path, data: Path) -> int:
    """The corpus as data/ has it, the last document as validation. Returns the bytes of text."""
    data.mkdir()
    with gzip.open(source, "rt", encoding="utf-8") as f:
        texts = [unicodedata.normalize("NFC", json.loads(line)["text"]) for line in f]
    splits = {}
    for split, part in (("train", texts[:-1]), ("validation", texts[-1:])):
        ids = [hashlib.sha256(t.encode()).hexdigest()[:32] for t in part]
        table = pa.table({"id": ids, "text": part, "source": ["eltec"] * len(part)})
        pq.write_table(table, data / f"{split}-00000-of-00001.parquet", compression="zstd", row_group_size=16)
        splits[split] = {"documents": len(part), "bytes": sum(len(t.encode()) for t in part)}
    (data / "manifest.json").write_text(json.dumps({"splits": splits}))
    return sum(s["bytes"] for s in splits.values())


def ours(root: Path, name: str) -> tuple[float, int]:
    """Seconds of one encoding into `name`, and the peak of resident bytes above the start."""
    target = root / name
    target.mkdir()
    process, stop = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    encode_directory(root / "data", root / "tokenizer", target)
    seconds = time.perf_counter() - began
    stop.set()
    watcher.join()
    return seconds, peak - before


def theirs(tokenizer: Tokenizer, parts: list[str], keep: bool = False) -> tuple[float, list[int]]:
    """Seconds of `tokenizers` on all cores over the same text, and the ids when `keep`."""
    ids: list[int] = []
    began = time.perf_counter()
    for i in range(0, len(parts), 256):
        for encoding in tokenizer.encode_batch_fast(parts[i : i + 256], add_special_tokens=False):
            if keep:
                ids += encoding.ids
    return time.perf_counter() - began, ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--vocab-size", type=int, default=4096)
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), args)


def measure(root: Path, args: argparse.Namespace) -> None:
    """Check equal work, run the pairs, record the case."""
    size = write_data(args.source, root / "data")
    trained = train_bpe((t for t, _ in sample(root / "data", "train", 10_000_000, "bpe")), args.vocab_size)
    (root / "tokenizer").mkdir()
    write_directory(root / "tokenizer", trained, kind="bpe")
    load_tokenizer(root / "tokenizer")  # imports happen here, off the clock and below the memory's zero
    tokenizer = Tokenizer.from_file(str(root / "tokenizer" / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    _, peak = ours(root, "check")  # the first encoding of the process: its memory is the stage's
    texts = [t for s in ("train", "validation") for b in read_documents(root / "data", s) for t in b.texts]
    parts = [piece for text in texts for piece in pieces(text, "bpe")]
    del texts
    _, expected = theirs(tokenizer, parts, keep=True)
    stream = np.concatenate([s.ids for split in ("train", "validation") for s in open_split(root / "check", split)])
    if not np.array_equal(stream[stream != 0], np.array(expected)):
        sys.exit("ids differ from those of tokenizers: nothing is measured")
    del expected
    names = itertools.count()
    record(
        "tokenize_throughput",
        case=f"bpe {args.vocab_size}, {args.source.name}",
        unit="MB/s",
        pairs=alternate(
            lambda: size / 1e6 / ours(root, f"run{next(names)}")[0],
            lambda: size / 1e6 / theirs(tokenizer, parts)[0],
            pairs=args.pairs,
        ),
        peer=Peer("tokenizers encode_batch_fast, encoding alone", tokenizers.__version__),
        same_work={"equal_ids": True, "bytes": size, "tokens": int((stream != 0).sum())},
        extra={"peak_bytes_above_imports": peak},
    )


if __name__ == "__main__":
    main()
