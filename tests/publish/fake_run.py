"""A complete run directory made up in a second: what the formats say, with plausible figures.

`fake_run(path, ...)` writes it; nothing is trained. Names, prompts and samples may be hostile on purpose.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from smallm.core.config import DataConfig, ModelConfig, Recipe, ReportConfig, SourceConfig
from smallm.core.files import sha256_bytes, sha256_file, write_json, write_text
from smallm.core.recipe import dump_recipe
from smallm.core.run import Run

NAMES = ["Mia", "Tom", "Lena", "Oskar", "Ida", "Finn"]
THINGS = ["a red key", "an old map", "a warm scarf", "a small boat", "a loaf of bread", "a silver bell"]
PLACES = ["under the bridge", "by the mill", "in the garden", "near the harbour", "behind the school"]
WEIGHTS = sha256_bytes(b"weights")
PROMPTS = [
    "Once upon a time there was a little fox named",
    "One morning Mia found a red key under",
    "Return a new list",
]
VERSIONS = {"python": "3.11.9", "smallm": "0.1.0", "torch": "2.13.0", "transformers": "5.17.0", "tokenizers": "0.22.1"}


def story(rng: random.Random) -> str:
    name, other = rng.sample(NAMES, 2)
    sentences = [f"One morning {name} found {rng.choice(THINGS)} {rng.choice(PLACES)}."]
    for _ in range(rng.randint(2, 14)):
        sentences.append(f"{rng.choice([name, other])} carried {rng.choice(THINGS)} {rng.choice(PLACES)}.")
    return " ".join([*sentences, f"{other} smiled, and {name} was glad."])


def docs(rng: random.Random) -> str:
    lines = [f"Return a new {rng.choice(['list', 'dict', 'set'])} that holds the items of *iterable*."]
    for _ in range(int(rng.lognormvariate(2.2, 0.9))):
        lines.append(f"Raises {rng.choice(['ValueError', 'TypeError', 'KeyError'])} if *key* is not a valid name.")
    return "\n".join(lines)


def fake_run(
    path: Path,
    *,
    stories: str = "synth-stories",
    python_docs: str = "python-docs",
    hostile: str = "",
    price: float = 0.0,
) -> tuple[Recipe, Run]:
    """Write a finished run; `hostile` text stands in samples, prompts, description and rejected sentences."""
    recipe = Recipe(
        name="quickstart",
        description=hostile or "a small model of short English stories and Python documentation",
        seed=7,
        prompts=[*PROMPTS, hostile] if hostile else PROMPTS,
        data=DataConfig(sources=[SourceConfig(synth="stories", size=8_000_000), SourceConfig(builtin="python-docs")]),
        model=ModelConfig(layers=4, width=256, context=256),
        report=ReportConfig(price_per_hour=price),
    )
    rng = random.Random(3)
    path.mkdir(parents=True, exist_ok=True)
    write_text(path / "recipe.yaml", dump_recipe(recipe))
    write_json(
        path / "resolved.json",
        {
            "compile": {"on": False, "why": "compilation is not tried on cpu"},
            "dtype": "float32",
            "micro_batch": 16,
            "training": "5f" * 32,
            "threads": 2,
        },
    )
    _data(path, {stories: ("synth", "synth:stories", story), python_docs: ("builtin", "python-docs", docs)}, rng)
    _tokenizer(path)
    _train(path, rng, hostile)
    _evaluate(path, stories, python_docs, hostile)
    seconds = {"data": 5.2, "tokenizer": 3.4, "tokens/base": 2.9, "base": 190.4, "eval": 31.0}
    for artefact, took in seconds.items():
        _stage(path / artefact, took)
    return recipe, Run(path)


def _stage(directory: Path, seconds: float) -> None:
    record = {
        "stage": directory.name, "stage_version": 1, "key": "k", "inputs": {}, "config": {}, "outputs": {},
        "versions": VERSIONS, "seed": 7, "seconds": seconds, "peak_bytes": int(8e8 + seconds * 4e6),
    }  # fmt: skip
    write_json(directory / "stage.json", record)


def _data(path: Path, makers: dict[str, tuple[str, str, Any]], rng: random.Random) -> None:
    rows: dict[str, list[dict[str, str]]] = {"train": [], "validation": []}
    sources = []
    for name, (kind, spec, make) in makers.items():
        texts = [make(rng) for _ in range(600)]
        for i, text in enumerate(texts):
            rows["validation" if i % 20 == 0 else "train"].append(
                {"id": sha256_bytes(text.encode())[:32], "text": text, "source": name}
            )
        size = sum(len(t.encode()) for t in texts)
        sources.append(
            {
                "name": name, "kind": kind, "spec": spec, "license": None, "documents_mode": "generated",
                "read": {"documents": 612, "bytes": size + 9000}, "bad_records": 0, "files": [],
                "dropped": {"duplicate": 12},
                "kept": {"documents": 600, "bytes": size, "train_documents": 570, "validation_documents": 30},
            }
        )  # fmt: skip
    splits = {}
    for split, found in rows.items():
        shard = path / "data" / f"{split}-00000-of-00001.parquet"
        shard.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(found), shard, compression="zstd")
        size = sum(len(r["text"].encode()) for r in found)
        splits[split] = {
            "documents": len(found), "bytes": size, "characters": sum(len(r["text"]) for r in found),
            "shards": [{"path": shard.name, "sha256": sha256_file(shard), "documents": len(found), "bytes": size}],
        }  # fmt: skip
    manifest = {
        "sources": sources, "dropped": {"duplicate": 23, "too_short": 1}, "splits": splits, "seed": 7,
        "split_rule": "hash, share 0.05: a document is held out when its hash says so",
    }  # fmt: skip
    write_json(path / "data" / "manifest.json", manifest)


def _tokenizer(path: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    texts = pq.read_table(path / "data" / "train-00000-of-00001.parquet").column("text").to_pylist()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=500, show_progress=False))
    (path / "tokenizer").mkdir(exist_ok=True)
    tokenizer.save(str(path / "tokenizer" / "tokenizer.json"))
    names = sorted(set(pq.read_table(path / "data" / "validation-00000-of-00001.parquet")["source"].to_pylist()))
    report = {
        "kind": "bpe", "vocab_size": 4096, "used_tokens": 3981, "bytes_per_token": 3.9012, "seconds": 3.1,
        "by_source": {name: round(4.1 - 0.4 * i, 4) for i, name in enumerate(names)},
        "longest_tokens": [" DeprecationWarning", " representation", " neighbourhood", " documentation", "--------"],
        "trained_on_bytes": 10_000_000, "sha256": sha256_file(path / "tokenizer" / "tokenizer.json"),
    }  # fmt: skip
    write_json(path / "tokenizer" / "report.json", report)
    manifest = json.loads((path / "data" / "manifest.json").read_text())
    splits = {
        name: {"documents": s["documents"], "tokens": s["bytes"] * 10 // 39, "bytes": s["bytes"], "shards": []}
        for name, s in manifest["splits"].items()
    }
    write_json(
        path / "tokens" / "base" / "manifest.json",
        {"tokenizer_sha256": report["sha256"], "dtype": "uint16", "vocab_size": 4096, "splits": splits},
    )


def _train(path: Path, rng: random.Random, hostile: str) -> None:
    steps, batch = 184, 8192
    metrics, timing, samples = [], [], []
    for step in [0, *range(4, steps + 1, 4)]:
        loss = 1.45 + 6.9 * math.exp(-step / 22) + 0.5 * math.exp(-step / 90) + rng.gauss(0, 0.02)
        rate = 3e-3 * min(1.0, 2 * (1 - step / steps))
        row: dict[str, Any] = {"step": step, "tokens": step * batch}
        if step:
            row |= {"loss": loss, "learning_rate": rate, "grad_norm": 0.8}
            timing.append(
                {"step": step, "seconds": step * 1.03, "tokens_per_second": 7950 + rng.gauss(0, 90), "mfu": None,
                 "memory_bytes": 900_000_000}
            )  # fmt: skip
        if step % 40 == 0 or step == steps:
            row |= {"validation_loss": loss + 0.02, "validation_bits_per_byte": (loss + 0.02) / math.log(2) / 3.9}
            text = " ".join(story(rng).split()[: 12 + step // 4]) if step else " oul dic. the thh iz  fa{ w,,n"
            for prompt in PROMPTS:
                samples.append({"step": step, "prompt": prompt, "text": " " + text + hostile, "seed": step})
        metrics.append(row)
    for name, rows in (("metrics", metrics), ("timing", timing), ("samples", samples)):
        write_text(path / "base" / f"{name}.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    config = {"preset": "qwen3", "layers": 4, "width": 256, "heads": 4, "context": 256, "vocab_size": 4096}
    write_json(
        path / "base" / "smallm.json",
        {"parameters": 4_198_400, "non_embedding_parameters": 3_149_824, "model": config, "tokens_seen": steps * batch,
         "tokenizer_sha256": sha256_file(path / "tokenizer" / "tokenizer.json"), "steps": steps, "train_seconds": 189.5,
         "flops": 3.8e13, "weights_sha256": WEIGHTS,
         "machine": {"cpu": "A CPU <of> the test", "cores": 2, "memory_bytes": 8_000_000_000, "gpus": []}},
    )  # fmt: skip
    write_json(path / "base" / "config.json", {"model_type": "qwen3"})


def _evaluate(path: Path, stories: str, python_docs: str, hostile: str) -> None:
    rng = random.Random(5)

    def figures(value: float, documents: int, size: int) -> dict[str, Any]:
        perplexity = math.exp(value * math.log(2) * 3.9)
        return {
            "value": value, "standard_error": 0.011 * value, "documents": documents, "bytes": size,
            "tokens": size * 10 // 39,
            "perplexity": {"value": perplexity, "low": perplexity * 0.97, "high": perplexity * 1.03},
        }  # fmt: skip

    overall = figures(0.612, 60, 41_000)
    result = {
        "model": "base", "weights_sha256": WEIGHTS,
        "tokenizer_sha256": sha256_file(path / "tokenizer" / "tokenizer.json"),
        "perplexity": overall.pop("perplexity"), "bits_per_byte": overall,
        "by_source": {stories: figures(0.381, 30, 23_000), python_docs: figures(1.52, 30, 18_000)},
        "gzip_bits_per_byte": {"value": 1.93, "by_source": {stories: 1.75, python_docs: 2.31}},
        "samples": [
            {"prompt": p, "text": " " + story(rng) + hostile, "seed": i} for i, p in enumerate([*PROMPTS * 3, ""])
        ],
        "stories": {
            "sampled": 100, "sentences": 1240, "accepted_share": 0.957, "accepted_low": 0.941, "accepted_high": 0.968,
            "rejected_examples": ["Mia carried a the bell." + hostile], "ngram13_in_training_share": 0.081,
        },
    }  # fmt: skip
    items = path / "eval" / f"base-{WEIGHTS[:8]}.items.parquet"
    items.parent.mkdir(exist_ok=True)
    rows = [_held_out_row(i, (stories, python_docs)[i % 2], rng) for i in range(60)]
    pq.write_table(items_table(rows), items, compression="zstd")
    value = {"value": 0.612, "standard_error": 0.0067, "low": 0.599, "high": 0.625, "items": 60, "clusters": 60}
    bits = value | {
        "higher_is_better": False,
        "chance": None,
        "chance_low": None,
        "chance_high": None,
        "at_chance": None,
    }
    held_out = {
        "version": "0a1b2c3d", "kind": "perplexity", "items": 60, "clusters": 60, "primary": "bits_per_byte",
        "metrics": {"bits_per_byte": bits}, "marks": {}, "calibration": None, "signature": None,
        "contamination": {"checked": False, "items": None, "clean": None},
        "sources": {stories: {"bits_per_byte": bits | {"value": 0.381}}, python_docs: {"bits_per_byte": bits}},
    }  # fmt: skip
    result |= {
        "format": "smallm-eval-1", "tasks": {"held-out": held_out}, "suites": {}, "items_file": items.name,
        "items_sha256": sha256_file(items),
    }  # fmt: skip
    write_json(path / "eval" / f"base-{WEIGHTS[:8]}.json", result)


def _held_out_row(i: int, source: str, rng: random.Random) -> dict[str, Any]:
    text = story(rng)
    bits = 0.6 * len(text)
    return {
        "task": "held-out", "metric": "bits_per_byte", "item": sha256_bytes(text.encode())[:32], "cluster": str(i),
        "source": source, "prompt": text, "choices": [], "logprobs": [-bits * math.log(2)], "tokens": [len(text) // 4],
        "answer": [], "prediction": "", "score": bits, "weight": float(len(text)), "marks": [],
        "nats": bits * math.log(2), "bytes": float(len(text)),
    }  # fmt: skip


def items_table(rows: list[dict[str, Any]]) -> Any:
    """Rows of eval/*.items.parquet as their table; what a row lacks is null."""
    text, number, texts = pa.string(), pa.float64(), pa.list_(pa.string())
    columns = {
        "task": text, "metric": text, "item": text, "cluster": text, "source": text, "prompt": text,
        "choices": texts, "logprobs": pa.list_(number), "tokens": pa.list_(pa.int64()), "answer": texts,
        "prediction": text, "score": number, "weight": number, "correct": pa.bool_(), "probability": number,
        "marks": texts, "contaminated": pa.bool_(), "nats": number, "bytes": number,
    }  # fmt: skip
    return pa.Table.from_pylist(rows, schema=pa.schema(list(columns.items())))
