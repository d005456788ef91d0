"""Results of tasks and comparisons of a run: eval/*.json of the model's own weights, read for report and cards.

Never raises for what is absent or damaged: such a file counts as absent. Results of other weights do not count.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smallm.core.files import sha256_file


class Record(dict[str, Any]):
    """A JSON object whose absent keys are None: templates print these as "not measured"."""

    def __missing__(self, key: str) -> None:
        return None


@dataclass(frozen=True)
class Result:
    """One file of results; paths are relative to the run, `page` is the page of items beside it."""

    file: str
    name: str
    suite: str
    tasks: dict[str, dict[str, Any]]
    items_file: str | None
    items_sha256: str | None
    page: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    skipped: list[str] = field(default_factory=list)
    datasets: dict[str, str] = field(default_factory=dict)  # task -> data set on the Hub, where the task says one
    weights_sha256: str | None = None

    @property
    def key(self) -> str:
        """The file's name without its ending: for names of figures and anchors."""
        return Path(self.file).stem


@dataclass(frozen=True)
class Comparison:
    """One compare-<a>-<b>.json; `page` is the page beside it, None where it was not written."""

    file: str
    content: dict[str, Any]
    page: str | None


def read_json_file(path: Path) -> Any:
    """The content with `Record`s for objects and None for NaN; None for a file that is absent or damaged."""
    try:
        return json.loads(path.read_text("utf-8"), object_hook=Record, parse_constant=lambda _: None)
    except (OSError, ValueError):
        return None


def jsonl_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file; a torn last line is left out."""
    rows = []
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, ValueError):
        return []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return [row for row in rows if isinstance(row, dict)]


def read_results(run: Path, weights_sha256: str | None) -> list[Result]:
    """Every result of these weights in eval/, by file name: the suites' and, in their place, the stage's own tasks."""
    found = []
    for file in sorted((run / "eval").glob("*.json")):
        result = None if file.name.startswith("compare-") else result_of(run, file)
        if result is not None and result.weights_sha256 and result.weights_sha256 == weights_sha256:
            found.append(result)
    return found


def result_of(run: Path, file: Path) -> Result | None:
    """One file of results below the run; None where it is absent, damaged, or has no task with a figure."""
    content = read_json_file(file)
    if not isinstance(content, dict) or not (tasks := usable_tasks(content)):
        return None
    model, folder = content.get("model"), file.parent.relative_to(run).as_posix()
    items = file.with_name(f"{file.stem}.items.parquet")
    page = file.with_name(f"{file.stem}.items.html")
    whole = isinstance(model, dict)
    return Result(
        file=f"{folder}/{file.name}",
        name=str(model.get("name") or file.stem) if whole else str(model or file.stem),
        suite=str(content.get("suite") or "held-out"),
        tasks=tasks,
        items_file=f"{folder}/{items.name}" if items.is_file() else None,
        items_sha256=content.get("items_sha256"),
        page=f"{folder}/{page.name}" if page.is_file() else None,
        settings=(model.get("settings") or {}) if whole else {},
        limit=content.get("limit"),
        skipped=[str(row.get("task")) for row in content.get("skipped") or []],
        datasets=_datasets(content),
        weights_sha256=model.get("weights_sha256") if whole else content.get("weights_sha256"),
    )


def _datasets(content: dict[str, Any]) -> dict[str, str]:
    """The Hub's data sets of tasks, as lm-eval's configuration (`dataset_path`) or ours (`hub.path`) names them."""
    found = {}
    for name, config in (content.get("configs") or {}).items():
        hub = config.get("hub") if isinstance(config, dict) else None
        dataset = config.get("dataset_path") if isinstance(config, dict) else None
        dataset = dataset or (hub.get("path") if isinstance(hub, dict) else None)
        if isinstance(dataset, str) and dataset not in ("json", "csv", "parquet", "text"):
            found[str(name)] = dataset
    return found


def usable_tasks(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks of a result whose primary metric has a figure."""
    tasks = content.get("tasks")
    return {
        str(name): task
        for name, task in (tasks.items() if isinstance(tasks, dict) else ())
        if isinstance(task, dict) and isinstance((task.get("metrics") or {}).get(task.get("primary")), dict)
    }


def read_comparisons(run: Path, weights_sha256: str | None) -> list[Comparison]:
    """The comparisons of eval/ that have these weights on one side."""
    found = []
    for file in sorted((run / "eval").glob("compare-*.json")):
        content = read_json_file(file)
        if not isinstance(content, dict) or not isinstance(content.get("tasks"), list):
            continue
        sides = {(content.get(side) or {}).get("weights_sha256") for side in ("a", "b")}
        if weights_sha256 and weights_sha256 in sides:
            page = file.with_suffix(".html")
            found.append(Comparison(f"eval/{file.name}", content, f"eval/{page.name}" if page.is_file() else None))
    return found


def has_chance(results: list[Result]) -> bool:
    """Whether any task of the results has a chance level, so that one need not guess what is at chance."""
    tasks = [task for result in results for task in result.tasks.values()]
    return any(task["metrics"][task["primary"]].get("chance") is not None for task in tasks)


def items_table(run: Path, result: Result) -> Any:
    """The items of a result as a pyarrow Table; None when the file is absent, unreadable or of another result."""
    if result.items_file is None:
        return None
    if result.items_sha256 and sha256_file(run / result.items_file) != result.items_sha256:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(run / result.items_file)
    except (OSError, pa.ArrowInvalid):
        return None
    return table if {"task", "item", "prompt", "score", "weight"} <= set(table.column_names) else None


def finite(value: Any) -> float | None:
    """The number, or None for what is none: null, NaN, infinity, text."""
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None
