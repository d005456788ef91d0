"""Training on one GPU: tokens/s, MFU (6N, and with attention) and peak memory of our 124M recipes.

The product's own loop on token files of random ids in documents of web-like lengths, packed, with
attention inside documents. Needs PyTorch, Transformers, safetensors and numpy alone: the
recipes travel as JSON, written beforehand where pydantic is.

    python benchmarks/gpu_train.py --write-recipes FOLDER            (here)
    python benchmarks/gpu_train.py --recipes FOLDER [--profile]      (on the GPU machine)
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from _common import Pairs, record

from smallm.core.config import (
    DataConfig,
    EvalConfig,
    ModelConfig,
    Recipe,
    ReportConfig,
    SourceConfig,
    TokenizerConfig,
    TrainConfig,
)
from smallm.core.files import sha256_file, write_json
from smallm.core.hardware import device_peak
from smallm.core.run import Run
from smallm.core.tokenfile import INDEX_DTYPE, header
from smallm.model.count import flops_per_token, parameters
from smallm.train.stage import trainer_of

NAMES = ("gpt2-124m", "smallm-124m")
VOCABULARY = 50304
# FineWeb's documents: median about 450 tokens, a long tail (log-normal, sigma 1.1).
MEDIAN_TOKENS, SIGMA = 450, 1.1
WARM_UP_STEPS, STEPS, REPEATS = 3, 5, 5


def write_recipes(folder: Path) -> None:
    """The packaged recipes as JSON, for a machine without pydantic."""
    from smallm.core.recipe import load_recipe

    for name in NAMES:
        write_json(folder / f"{name}.json", asdict(load_recipe(name)))


def read_recipe(path: Path) -> Recipe:
    """The Recipe that `write_recipes` wrote."""
    sections = {"tokenizer": TokenizerConfig, "model": ModelConfig, "train": TrainConfig, "eval": EvalConfig}
    values: dict[str, Any] = json.loads(path.read_text("utf-8"))
    values |= {name: kind(**values[name]) for name, kind in sections.items()}
    values["report"] = ReportConfig(**values["report"])
    sources = [SourceConfig(**source) for source in values["data"].pop("sources")]
    values["data"] = DataConfig(sources=sources, **values["data"])
    return Recipe(**values)


def write_tokens(directory: Path, tokens: int, vocabulary: int) -> None:
    """A tokens/base directory of random ids: what the loop reads, in its real format."""
    rng = np.random.default_rng(0)
    directory.mkdir(parents=True)
    splits = {}
    for split, size in (("train", tokens), ("validation", tokens // 50)):
        lengths = np.maximum(8, rng.lognormal(np.log(MEDIAN_TOKENS), SIGMA, size // 400)).astype(np.uint32)
        ids = rng.integers(1, vocabulary, int(lengths.sum()), dtype=np.uint16)
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.uint64)[:-1]]).astype(np.uint64)
        ids[starts.astype(np.int64)] = 0
        index = np.zeros(len(lengths), INDEX_DTYPE)
        index["start"], index["length"], index["bytes"] = starts, lengths, lengths * 4
        index["id"] = np.frombuffer(rng.bytes(16 * len(lengths)), "V16")
        path = directory / f"{split}-00000.bin"
        path.write_bytes(header(len(ids), 2, "00" * 32) + ids.tobytes())
        path.with_suffix(".idx").write_bytes(index.tobytes())
        shard = {"path": path.name, "sha256": sha256_file(path), "tokens": len(ids), "documents": len(lengths)}
        splits[split] = {"documents": len(lengths), "tokens": len(ids), "bytes": 4 * len(ids), "shards": [shard]}
    manifest = {"tokenizer_sha256": "00" * 32, "dtype": "uint16", "splits": splits, "vocab_size": vocabulary}
    write_json(directory / "manifest.json", manifest)


def measure(name: str, recipe: Recipe, profile: bool) -> None:
    """Steps of the compiled loop, timed in REPEATS groups of STEPS; one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        write_tokens(run.path / "tokens" / "base", 60_000_000, VOCABULARY)
        trainer = trainer_of(recipe, run)
        trainer.job.sample = None
        job = trainer.job
        job.model.train()
        began = time.perf_counter()
        if job.compile:
            trainer.compile()
        batches = job.feed.batches(WARM_UP_STEPS + STEPS * REPEATS + 1)
        for _ in range(WARM_UP_STEPS):
            trainer.step(next(batches))
        trainer.collect()
        ready = time.perf_counter() - began
        torch.cuda.reset_peak_memory_stats()
        speeds = []
        for _ in range(REPEATS):
            torch.cuda.synchronize()
            began, before = time.perf_counter(), trainer.state.tokens
            for _ in range(STEPS):
                trainer.step(next(batches))
            torch.cuda.synchronize()
            speeds.append((trainer.state.tokens - before) / (time.perf_counter() - began))
            trainer.collect()
        peak = torch.cuda.max_memory_allocated()
        config: Any = job.model.decoder.config
        flops, rate = flops_per_token(config, config.context), device_peak(job.device)
        extra: dict[str, Any] = {
            "parameters": parameters(config),
            "peak_memory_bytes": peak,
            "compile_and_warm_up_s": round(ready, 1),
            "decisions": json.loads((run.path / "resolved.json").read_text()),
        }
        for kind, each in flops.items():
            extra[f"mfu_{kind}"] = round(max(speeds) * each / rate, 4) if rate else None
        work = {"documents": "log-normal, median 450 tokens", "tail_share": round(job.feed.rows.tally.tail_share, 5)}
        record(
            "gpu_train", case=name, unit="tokens/s", pairs=Pairs(ours=speeds), peer=None, same_work=work, extra=extra
        )
        if profile:
            profiled_step(trainer, next(batches))


def profiled_step(trainer: Any, batch: Any) -> None:
    """The kernels of one step, by time, to stderr."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as found:
        trainer.step(batch)
        torch.cuda.synchronize()
    print(
        found.key_averages().table(sort_by="cuda_time_total", row_limit=28, max_name_column_width=70), file=sys.stderr
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write-recipes", type=Path)
    parser.add_argument("--recipes", type=Path)
    parser.add_argument("--case", choices=NAMES, action="append")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.write_recipes:
        write_recipes(arguments.write_recipes)
    else:
        for name in arguments.case or NAMES:
            measure(name, read_recipe(arguments.recipes / f"{name}.json"), arguments.profile)
