"""The facts of a run's fine-tuning: tokens/<name>, tuned/<name> and eval/<name>, read for report, cards and write-up.

What no file says is None. Figures of a comparison count only while the tuned weights are those that were compared: the
files' own hashes are asked, not what a record says of them. Paths are relative to the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smallm.core.config import Recipe
from smallm.core.files import HashCache, sha256_json
from smallm.evaluate.identity import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_adapter
from smallm.publish.task_facts import Record, Result, jsonl_rows, read_json_file, result_of


@dataclass(frozen=True)
class TuneFacts:
    """One fine-tuning. `verdict` is None where it was not compared; `stale`: it was, as other weights."""

    name: str
    manifest: Record | None = None
    audit: Record | None = None
    tuned: Record | None = None
    adapter: Record | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    timing: list[dict[str, Any]] = field(default_factory=list)
    verdict: Record | None = None
    comparison: Record | None = None
    results: list[Result] = field(default_factory=list)
    stale: bool = False

    @property
    def tokens_dir(self) -> str:
        return f"tokens/{self.name}"

    @property
    def tuned_dir(self) -> str:
        return f"tuned/{self.name}"

    @property
    def eval_dir(self) -> str:
        return f"eval/{self.name}"

    @property
    def sources(self) -> list[Record]:
        """The sets, as the audit has them."""
        found = ((self.audit or {}).get("data") or {}).get("sources")
        return [s for s in found if isinstance(s, dict)] if isinstance(found, list) else []  # type: ignore[misc]

    @property
    def bits_factor(self) -> float | None:
        """Bits per byte of the learned text = this times nats per trained token, on the training examples."""
        train = ((self.manifest or {}).get("splits") or {}).get("train") or {}
        tokens, size = train.get("trained_tokens"), train.get("bytes")
        return tokens / size / math.log(2) if tokens and size else None

    @property
    def best_step(self) -> int | None:
        """The step whose weights were kept."""
        return (self.tuned or {}).get("best_step")


def read_tuning(recipe: Recipe, run: Path, hashes: HashCache) -> TuneFacts | None:
    """The recipe's fine-tuning as far as its files are there; None where the recipe has none. Never raises for them."""
    tune = recipe.finetune
    if not tune.data:
        return None
    tokens, tuned_dir, compared = run / "tokens" / tune.name, run / "tuned" / tune.name, run / "eval" / tune.name
    tuned = read_json_file(tuned_dir / "smallm.json")
    verdict = read_json_file(compared / "verdict.json")
    if verdict is not None and not isinstance(verdict.get("row"), dict):
        verdict = None
    present = weights_of(tuned_dir, tuned, hashes)
    stale = verdict is not None and (present is None or present != (verdict.get("tuned") or {}).get("weights_sha256"))
    counted = None if stale else verdict
    return TuneFacts(
        name=tune.name,
        manifest=read_json_file(tokens / "manifest.json"),
        audit=read_json_file(tokens / "audit.json"),
        tuned=tuned,
        adapter=read_json_file(tuned_dir / ADAPTER_CONFIG),
        metrics=jsonl_rows(tuned_dir / "metrics.jsonl"),
        timing=jsonl_rows(tuned_dir / "timing.jsonl"),
        verdict=counted,
        comparison=read_json_file(compared / str(counted["comparison"])) if counted else None,
        results=_results(run, compared, counted) if counted else [],
        stale=stale,
    )


def weights_of(directory: Path, tuned: dict[str, Any] | None, hashes: HashCache) -> str | None:
    """The hash of the tuned weights as evaluation counts it (evaluate/identity.py), from the files that are there now.

    An adapter's is over its own and its base's; the base's is the one that the adapter was trained on.
    """
    if is_adapter(directory):
        base = ((tuned or {}).get("base") or {}).get("weights_sha256")
        own = directory / ADAPTER_WEIGHTS
        return sha256_json({"adapter": hashes(own), "base": base}) if base and own.is_file() else None
    files = sorted(directory.glob("model*.safetensors"))
    if [file.name for file in files] == ["model.safetensors"]:
        return hashes(files[0])
    return sha256_json([[file.name, hashes(file)] for file in files]) if files else None


def _results(run: Path, compared: Path, verdict: dict[str, Any]) -> list[Result]:
    """The result files of the comparison: base, tuned, baselines; those that are there and whole."""
    names = [(verdict.get(side) or {}).get("file") for side in ("base", "tuned")]
    names += [row.get("file") for row in verdict.get("baselines") or []]
    found = [result_of(run, compared / str(name)) for name in names if name]
    return [result for result in found if result is not None]
