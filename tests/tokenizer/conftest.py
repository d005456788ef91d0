# ruff: noqa: E501  a nasty text stands in one piece
"""One small tokenizer of each kind, trained once, and a data/ directory to train on."""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import textwrap
import typing
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smallm.core.config import Recipe, TokenizerConfig
from smallm.core.run import Run
from smallm.tokenizer.train import make_tokenizer

NASTY = [
    "Hello, world! It's the 1st test; they'RE fine, we'll see, I'd say 'tis \u017ft.",
    "x'\u017f 's'S'T're'vE'm'LL'd ''s it''s",
    "  leading, trailing  ", " ", "  ", "\n", "\r\n", "\t\t\ta\t b", "a\n\n\n  b \n \n c\r\n\r\nd\re", "a\u0085b\u00a0c\u2003\u2003d\u3000e\u200bf",
    "1234567890 3.14159 1,000,000 \u0661\u0662\u0663 \u00b2\u00b3\u00bd \u2167 \U0001d7d9\U0001d7da",
    "na\u00efve caf\u00e9 Stra\u00dfe \u1e9e \u01c6 \u0130\u0131 \ufb01\ufb03",
    "e\u0301 a\u0308\u0323 \u1100\u1161\u11a8 q\u0307\u0323 \u0344 \u212b \u2126 \u0958",
    "\u4e2d\u6587\u5b57\u7b26\u3002\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\ud55c\uad6d\uc5b4 \U00020000\U0002a6d6",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0643\u064a\u0641\u061f \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22\u0e20\u0e32\u0e29\u0e32 \u1019\u103c\u1014\u103a\u1019\u102c",
    "\U0001f926\U0001f3fd\u200d\u2642\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f\U0001f600\U0001f600!!",
    "def f(x: int) -> str:\n    if x != 0:\n\t\treturn f'{x:>10}'  # ok\n\n\n    return \"\\n\"\n",
    "a" * 3000, " " * 700 + "x", "\n" * 300, "!?" * 500, "9" * 400, "\U0001f600" * 200, "\u4e2d" * 500,
    "<|endoftext|>", "a<|endoftext|>b <|user|>\nhi<|end|> <|pad|><|reserved_17|>", "<|unk|> <unk> <s> </s> <0x41><0x0A>", "<|endoftext",
    "\x00\x01\x07\x1b[0m\x7f\x1c\x1d\x1e\x1f \ufeff\ufffd\ufffe\uffff\U0010ffff\ue000",
    "\u2582\u2585\u2047 \u00ad\u2060\u202e",
    '{"a": [1, 2.5e-3, null], "b\\u00e9": "\\\\"}', "https://example.org/~x?y=1&z=%20#frag  user@example.org", "<p class=\"x\">&amp;</p>",
]  # fmt: skip


@pytest.fixture(scope="session")
def nasty() -> list[str]:
    """Texts that tokenizers get wrong: Unicode of all sorts, whitespace, code, long runs, specials as text."""
    return NASTY


def corpus() -> list[str]:
    """Real text found on every machine, one paragraph a document, and the nasty texts."""
    modules = "\n\n".join(inspect.getsource(m) for m in (argparse, typing, textwrap))
    documents = [p for p in modules.split("\n\n") if p.strip()]
    german = "Die W\u00fcrde des Menschen ist unantastbar. Sie zu achten ist Verpflichtung aller staatlichen Gewalt.\n"
    texts = [*documents, german * 3, *NASTY]
    return [unicodedata.normalize("NFC", text) for text in texts]


WriteData = Callable[[Path, list[str], list[str]], None]


@pytest.fixture(scope="session")
def write_data() -> WriteData:
    """Write run/data/ as the data stage does, as far as the tokenizer reads it."""

    def write(run: Path, train: list[str], validation: list[str]) -> None:
        (run / "data").mkdir(parents=True)
        splits = {}
        for split, texts in (("train", train), ("validation", validation)):
            half = len(texts) // 2
            for i, part in enumerate((texts[:half], texts[half:])):
                table = {
                    "id": [hashlib.sha256(t.encode()).hexdigest()[:32] for t in part],
                    "text": part,
                    "source": ["code" if "def " in t else "prose" for t in part],
                }
                types = pa.schema([("id", pa.string()), ("text", pa.string()), ("source", pa.string())])
                path = run / "data" / f"{split}-{i:05d}-of-00002.parquet"
                pq.write_table(pa.table(table, schema=types), path, compression="zstd")
            splits[split] = {"documents": len(texts), "bytes": sum(len(t.encode()) for t in texts)}
        (run / "data" / "manifest.json").write_text(json.dumps({"splits": splits}))

    return write


MakeRun = Callable[..., Run]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory, write_data: WriteData) -> MakeRun:
    """A run with data/ and a trained tokenizer/ of the given configuration."""

    def make(**config: typing.Any) -> Run:
        run = Run(tmp_path_factory.mktemp("run") / "run")
        texts = corpus()
        write_data(run.path, [t for i, t in enumerate(texts) if i % 8], texts[::8])
        make_tokenizer(Recipe(name="run", tokenizer=TokenizerConfig(**config)), run)
        return run

    return make


@pytest.fixture(scope="session")
def runs(make_run: MakeRun) -> dict[str, Run]:
    return {
        "bpe": make_run(kind="bpe", vocab_size=1000),
        "unigram": make_run(kind="unigram", vocab_size=1000),
        "char": make_run(kind="char"),
    }


@pytest.fixture(params=["bpe", "unigram", "char"])
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    """A run with a tokenizer of each kind in turn."""
    return runs[request.param]
