"""The facts of a run: the one reader of a run directory, shared by report and cards.

Every value comes from a file and names it (paths relative to the run). What no file says is None,
which report and cards print as "not measured". A pure function of the directory: no clock, no network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.files import sha256_file
from smallm.core.run import Run
from smallm.publish.task_facts import (
    Comparison,
    Result,
    jsonl_rows,
    read_comparisons,
    read_json_file,
    read_results,
)
from smallm.publish.tune_facts import TuneFacts, read_tuning

# Lengths are read from shards until so many documents are seen; the page says how many there were.
LENGTH_SAMPLE = 200_000
ARTEFACTS = (
    ("data", "data"),
    ("tokenizer", "tokenizer"),
    ("tokens", "tokens/base"),
    ("train", "base"),
    ("eval", "eval"),
)


@dataclass(frozen=True)
class Source:
    """One source of text; documents and bytes are those kept."""

    name: str
    kind: str
    spec: str
    license: str | None
    documents: int | None
    bytes: int | None
    bad_records: int
    files: list[dict[str, Any]]


@dataclass(frozen=True)
class Split:
    """One split; tokens are None until the text was tokenised."""

    documents: int
    bytes: int
    characters: int | None
    tokens: int | None


@dataclass(frozen=True)
class Data:
    """data/manifest.json, the shards' lengths, and the start of one held-out document a source."""

    sources: list[Source]
    dropped: dict[str, int]
    splits: dict[str, Split]
    split_rule: str | None
    lengths: dict[str, list[int]]
    openings: dict[str, str]


@dataclass(frozen=True)
class StageFacts:
    """One stage.json. cost is None when the recipe names no price."""

    name: str
    file: str
    seconds: float
    peak_bytes: int | None
    cost: float | None
    versions: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """Everything a report or card may say about a run."""

    recipe: Recipe
    name: str
    path: Path
    data: Data | None = None
    tokenizer: dict[str, Any] | None = None
    model: dict[str, Any] | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, Any] | None = None
    evaluation_file: str | None = None
    results: list[Result] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    stages: list[StageFacts] = field(default_factory=list)
    resolved: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    tuning: TuneFacts | None = None

    @property
    def pretrained(self) -> bool:
        """Whether the run trains a model from scratch (or would): it has text, or a base, or nothing else to do."""
        return bool(self.data or self.model or self.recipe.data.sources or not self.recipe.finetune.data)

    @property
    def versions(self) -> dict[str, str]:
        """Package versions of the stages, the newest stage last and winning."""
        return {name: version for stage in self.stages for name, version in stage.versions.items()}

    @property
    def machine(self) -> dict[str, Any] | None:
        """What the training ran on, as the training wrote it."""
        tuned = (self.tuning.tuned if self.tuning else None) or {}
        return (self.model or {}).get("machine") or tuned.get("machine") or self.resolved.get("machine")

    @property
    def train_bits_factor(self) -> float | None:
        """bits per byte = this * nats per token, on the training text (its tokens over its bytes, over ln 2)."""
        train = self.data.splits.get("train") if self.data else None
        return train.tokens / train.bytes / math.log(2) if train and train.tokens and train.bytes else None

    @property
    def epochs(self) -> float | None:
        """How often each training token was seen."""
        train = self.data.splits.get("train") if self.data else None
        seen = (self.model or {}).get("tokens_seen")
        return seen / train.tokens if train and train.tokens and seen else None


def read_facts(recipe: Recipe, run: Run) -> Facts:
    """Read all that is there. Never raises for what is absent; a damaged file counts as absent."""
    path = run.path
    model = read_json_file(path / "base" / "smallm.json")
    evaluation_file, evaluation = _evaluation(path, model)
    return Facts(
        recipe=recipe,
        name=recipe.name or run.name,
        path=path,
        data=_data(path),
        tokenizer=read_json_file(path / "tokenizer" / "report.json"),
        model=model,
        metrics=jsonl_rows(path / "base" / "metrics.jsonl"),
        timing=jsonl_rows(path / "base" / "timing.jsonl"),
        samples=jsonl_rows(path / "base" / "samples.jsonl"),
        evaluation=evaluation,
        evaluation_file=evaluation_file,
        results=read_results(path, (model or {}).get("weights_sha256")),
        comparisons=read_comparisons(path, (model or {}).get("weights_sha256")),
        stages=_stages(recipe, run),
        resolved=read_json_file(path / "resolved.json") or {},
        hashes=_hashes(recipe, path, model),
        tuning=read_tuning(recipe, path, run.hashes),
    )


def _evaluation(path: Path, model: dict[str, Any] | None) -> tuple[str | None, dict[str, Any] | None]:
    """The evaluation of these weights; one of other weights does not count."""
    for file in sorted((path / "eval").glob("base-????????.json")):
        found = read_json_file(file)
        if found and (model is None or found.get("weights_sha256") == model.get("weights_sha256")):
            return f"eval/{file.name}", found
    return None, None


def _stages(recipe: Recipe, run: Run) -> list[StageFacts]:
    price = recipe.report.price_per_hour
    stages = []
    tuned = recipe.finetune.name
    tuning = (("examples", f"tokens/{tuned}"), ("tune", f"tuned/{tuned}"), ("compare", f"eval/{tuned}"))
    for name, artefact in (*ARTEFACTS, *(tuning if recipe.finetune.data else ())):
        record = run.stage_record(artefact)
        if record is not None:
            seconds = float(record["seconds"])
            stages.append(
                StageFacts(
                    name=name,
                    file=f"{artefact}/stage.json",
                    seconds=seconds,
                    peak_bytes=record.get("peak_bytes") or None,
                    cost=seconds / 3600 * price if price else None,
                    versions=record.get("versions", {}),
                )
            )
    return stages


def _hashes(recipe: Recipe, path: Path, model: dict[str, Any] | None) -> dict[str, str]:
    """sha256 of what made the models and of the models."""
    name = recipe.finetune.name
    tuned = [f"tokens/{name}/manifest.json", f"tuned/{name}/adapter_model.safetensors"] if recipe.finetune.data else []
    found = {
        file: sha256_file(path / file)
        for file in ("recipe.yaml", "data/manifest.json", "tokenizer/tokenizer.json", *tuned)
        if (path / file).is_file()
    }
    if model and model.get("weights_sha256"):
        found["base/model.safetensors"] = model["weights_sha256"]
    return found


def _data(path: Path) -> Data | None:
    manifest = read_json_file(path / "data" / "manifest.json")
    if manifest is None:
        return None
    tokens = ((read_json_file(path / "tokens" / "base" / "manifest.json")) or {}).get("splits", {})
    splits = {
        name: Split(
            documents=int(split.get("documents", 0)),
            bytes=int(split.get("bytes", 0)),
            characters=split.get("characters"),
            tokens=tokens.get(name, {}).get("tokens"),
        )
        for name, split in manifest.get("splits", {}).items()
    }
    return Data(
        sources=[_source(s) for s in manifest.get("sources", [])],
        dropped={str(k): int(v) for k, v in manifest.get("dropped", {}).items()},
        splits=splits,
        split_rule=manifest.get("split_rule"),
        lengths=_lengths(path / "data"),
        openings=_openings(path / "data"),
    )


def _source(source: dict[str, Any]) -> Source:
    kept = source.get("kept") or {}
    return Source(
        name=str(source.get("name", "")),
        kind=str(source.get("kind", "")),
        spec=str(source.get("spec", "")),
        license=source.get("license"),
        documents=kept.get("documents"),
        bytes=kept.get("bytes"),
        bad_records=int(source.get("bad_records", 0)),
        files=source.get("files") or [],
    )


def _lengths(data: Path) -> dict[str, list[int]]:
    """Characters of each document by source, of the first LENGTH_SAMPLE documents of both splits."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: dict[str, list[int]] = {}
    seen = 0
    for shard in [*sorted(data.glob("train-*.parquet")), *sorted(data.glob("validation-*.parquet"))]:
        if seen >= LENGTH_SAMPLE:
            break
        for batch in pq.ParquetFile(shard).iter_batches(columns=["text", "source"]):
            lengths = pc.call_function("utf8_length", [batch.column("text")]).to_pylist()
            for source, length in zip(batch.column("source").to_pylist(), lengths, strict=True):
                found.setdefault(source, []).append(length)
            seen += len(lengths)
    return dict(sorted(found.items()))


def _openings(data: Path, characters: int = 160) -> dict[str, str]:
    """The first words of the first held-out document of each source."""
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for shard in sorted(data.glob("validation-*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(columns=["text", "source"], batch_size=256):
            for text, source in zip(batch.column("text").to_pylist(), batch.column("source").to_pylist(), strict=True):
                if source not in found and len(text.strip()) > 40:
                    found[source] = text.strip()[:characters].rsplit(maxsplit=1)[0]
    return dict(sorted(found.items()))
