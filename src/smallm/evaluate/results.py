"""Result files of a suite: eval/<tag>-<hash8>-<suite>.json and its .items.parquet, written whole, read back checked.

Our figures and lm-eval's keys stand in one JSON (`results`, `versions`, `n-shot`, …), so that its tools read the file.
The JSON is written last and holds the hash of the items: a pair that does not belong together is seen.
"""

from __future__ import annotations

import dataclasses
import io
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.core.files import read_json, sha256_bytes, sha256_file, write_bytes, write_json
from smallm.core.formats_eval import ITEM_COLUMNS
from smallm.core.hardware import cores, cpu_name, memory
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.run_tasks import ItemRecord, TaskResult, prefix_of
from smallm.evaluate.summary import score_and_weight

FORMAT = "smallm-eval-1"
PACKAGES = ("smallm", "torch", "transformers", "tokenizers", "numpy", "scipy", "sacrebleu", "lm-eval")
CONFIG_KEYS = ("prompt", "choices", "contexts", "continuation", "answer", "text", "target_delimiter", "description",
               "where", "each", "chunk", "items", "test_share", "synth", "seed", "until", "max_new_tokens", "chat",
               "shots", "language", "licence", "origin", "about")  # fmt: skip


@dataclass(frozen=True)
class ModelFacts:
    """What a result says of the model."""

    name: str
    path: str | None
    weights_sha256: str | None
    tokenizer_sha256: str
    parameters: int | None
    settings: dict[str, Any]

    @property
    def hash8(self) -> str:
        """Eight digits of the weights' hash; of the address' where the weights cannot be known."""
        return (self.weights_sha256 or sha256_bytes(self.name.encode()))[:8]


def model_tag(model: str, path: Path | None, *, quantised: str = "") -> str:
    """The model in file names: `base` for runs/x/base, else its directory's or Hub name; `-4bit`, `-8bit` after it."""
    name = path.resolve().name if path else re.sub(r"^https?://", "", model)
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "model"
    return slug + (f"-{quantised}" if quantised else "")


def write_result(
    directory: Path,
    tag: str,
    suite: str,
    model: ModelFacts,
    results: Sequence[TaskResult],
    *,
    limit: int | None = None,
    skipped: Sequence[Mapping[str, str]] = (),
    seconds: float = 0.0,
    harness: Mapping[str, Any] | None = None,
) -> Path:
    """Write the result of a suite and its items; returns the JSON's path. Never half of it: the JSON comes last.

    `harness`: what lm-eval itself wrote of these tasks; its keys then stand in place of ours of the same names.
    """
    name = f"{tag}-{model.hash8}-{suite}"
    items = directory / f"{name}.items.parquet"
    write_items(items, results)
    value = {
        "format": FORMAT,
        "model": dataclasses.asdict(model),
        "suite": suite,
        "tasks": {result.task.name: task_json(result) for result in results},
        "skipped": [dict(row) for row in skipped],
        "limit": limit,
        "seconds": round(seconds, 3),
        "items_file": items.name,
        "items_sha256": sha256_file(items),
        **(harness_keys(results, model, limit) if harness is None else harness),
        "machine": _machine(),
        "package_versions": _versions(),
    }
    path = directory / f"{name}.json"
    write_json(path, value)
    return path


def task_json(result: TaskResult) -> dict[str, Any]:
    """One task of the result file."""
    task, summary = result.task, result.summary
    return {
        "version": task.version,
        "kind": task.kind,
        "items": len(result.records),
        "clusters": summary.clusters,
        "primary": task.primary,
        "metrics": summary.metrics,
        "marks": summary.marks,
        "contamination": summary.contamination,
        "calibration": summary.calibration,
        "seconds": round(result.seconds, 3),
        "cached": result.cached,
        "sources": summary.sources,
        "signature": summary.signature,
        "majority": summary.majority,
    }


def harness_keys(results: Sequence[TaskResult], model: ModelFacts, limit: int | None) -> dict[str, Any]:
    """The keys of lm-eval's result JSON (0.4.13) with our figures; what it calls `acc,none` and `acc_stderr,none`."""
    rows: dict[str, dict[str, Any]] = {}
    for result in results:
        row: dict[str, Any] = {"alias": result.task.name}
        for name, figure in result.summary.metrics.items():
            error = figure["standard_error"]
            row[f"{name},none"] = figure["value"]
            row[f"{name}_stderr,none"] = "N/A" if error is None else error
        rows[result.task.name] = row
    return {
        "results": rows,
        "configs": {result.task.name: task_config(result) for result in results},
        "versions": {result.task.name: result.task.version for result in results},
        "n-shot": {result.task.name: len(result.task.shots) for result in results},
        "higher_is_better": {
            result.task.name: {name: metric_info(name).higher_is_better for name in result.task.metrics}
            for result in results
        },
        "n-samples": {
            result.task.name: {"original": len(result.task.items), "effective": len(result.records)}
            for result in results
        },
        "config": {"model": "smallm", "model_args": {"pretrained": model.name, **model.settings}, "limit": limit},
        "lm_eval_version": None,
    }


def task_config(result: TaskResult) -> dict[str, Any]:
    """What the task was: its templates, and the text before every prompt."""
    values = result.task.spec.values
    said = {key: values[key] for key in CONFIG_KEYS if values.get(key) not in (None, "", False)}
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()}
    return {"task": result.task.name, "kind": result.task.kind, **listed, "prefix": prefix_of(result.task)}


# ---- items ---------------------------------------------------------------------------------------------------------


def write_items(path: Path, results: Sequence[TaskResult]) -> None:
    """One row an item of every task; a column each for the further figures of any task, null where it has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    extra = sorted({name for result in results for record in result.records for name in record.values})
    columns: dict[str, list[Any]] = {name: [] for name in [*ITEM_COLUMNS, *extra]}
    for result in results:
        for record in result.records:
            row = item_row(result, record)
            for name, column in columns.items():
                column.append(row.get(name))
    kinds = {"string": pa.string(), "double": pa.float64(), "bool": pa.bool_(), "int64": pa.int64()}
    types = {name: _arrow(pa, kinds, kind) for name, kind in ITEM_COLUMNS.items()} | dict.fromkeys(extra, pa.float64())
    table = pa.table(columns, schema=pa.schema([(name, types[name]) for name in columns]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def _arrow(pa: Any, kinds: Mapping[str, Any], kind: str) -> Any:
    inner = kind.removeprefix("list<").removesuffix(">")
    return kinds[kind] if inner == kind else pa.list_(kinds[inner])


def item_row(result: TaskResult, record: ItemRecord) -> dict[str, Any]:
    """A row of the items: what was asked, what the model made of it, its part of the primary metric."""
    item, delimiter = record.item, result.task.spec.values["target_delimiter"]
    score, weight = score_and_weight(metric_info(result.task.primary), record)
    choices, answer, prediction = list(item.choices), list(item.answer), record.prediction
    if item.continuation:  # contexts: what a reader wants to see is each whole sentence
        choices = [context + delimiter + item.continuation for context in item.choices]
        answer = [choices[item.gold or 0]]
        prediction = choices[record.predicted or 0]
    return {
        "task": result.task.name,
        "metric": result.task.primary,
        "item": item.id,
        "cluster": item.cluster,
        "source": item.source,
        "prompt": item.prompt,
        "choices": choices,
        "logprobs": list(record.logprobs),
        "tokens": list(record.tokens),
        "answer": answer,
        "prediction": prediction,
        "score": score,
        "weight": weight,
        "correct": record.correct,
        "probability": record.probability,
        "marks": list(record.marks),
        "contaminated": record.contaminated,
        **record.values,
    }


# ---- reading -------------------------------------------------------------------------------------------------------


def read_result(path: str | Path) -> dict[str, Any]:
    """A result file of ours. UserError: not there, not JSON, another format."""
    path = Path(path)
    try:
        value = read_json(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}). Run the evaluation again.") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("tasks"), dict):
        raise UserError(f"{path}: not a result of smallm ({FORMAT}). Results are what `smallm eval` writes to eval/.")
    return value


def read_items(path: str | Path, result: Mapping[str, Any] | None = None) -> Any:
    """The items of a result file as an Arrow table. UserError: not there, or written by another run than the JSON."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    result = read_result(path) if result is None else result
    items = path.parent / str(result.get("items_file", ""))
    if not items.is_file():
        raise UserError(f"{path}: its items {items.name} are not there. Run the evaluation again.")
    wanted = result.get("items_sha256")
    if wanted and sha256_file(items) != wanted:
        raise UserError(f"{items}: belongs to another run than {path.name}. Run the evaluation again.")
    try:
        return pq.read_table(items)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{items}: not readable parquet ({error}). Run the evaluation again.") from None


def _machine() -> dict[str, Any]:
    """The processor and its memory; the device of the scores is in the model's settings."""
    total, _ = memory()
    return {"cpu": cpu_name(), "cores": cores(), "memory_bytes": total, "python": platform.python_version()}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
