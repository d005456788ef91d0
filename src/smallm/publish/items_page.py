"""The page of items: one self-contained HTML file to browse what a model answered, and what changed.

Data goes into the page as gzip in base64, rows come out of it a page at a time, so that 20,000 items stay
quick; no request leaves the page. Every text reaches the browser as text, never as markup. The comparison's
page shows its flipped items with the same rows and scripts (`packed`, `payload`, `flip_rows`).
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from smallm.core.files import write_text
from smallm.evaluate.metrics import METRICS, metric_info
from smallm.publish import task_words
from smallm.publish.task_facts import usable_tasks

Items = Any  # a pyarrow Table in the format of eval/*.items.parquet, or the path of one


def write_items_page(
    result: dict[str, Any],
    items: Items,
    path: Path,
    against: tuple[dict[str, Any], Items] | None = None,
    *,
    folder: str = "",
) -> Path:
    """Write the items of `result` to `path`; with a second result, also what it answered and what flipped.

    `against` is an earlier result and its items: "wrong -> right" reads from it to `result`. `folder` is where the
    page's links find the result's files ("../eval/"), by default beside the page.
    """
    from smallm.publish.report import environment

    rows = [item_row(row) for row in _pylist(items)]
    names = [_name(result)]
    if against is not None:
        names.append(_name(against[0]))
        merge(rows, [item_row(row) for row in _pylist(against[1])])
    tasks = usable_tasks(result)
    view = {
        "suite": result.get("suite"),
        "name": names[0],
        "other": names[1] if against is not None else None,
        "tasks": tasks,
        "prefixes": _prefixes(result),
        "items": len(rows),
        "words": task_words,
        "payload": packed(payload(rows, short_names(names), tasks)),
        "folder": folder,
        "parquet": path.with_suffix(".parquet").name,
        "json": path.name.removesuffix(".items.html") + ".json",
    }
    write_text(path, environment().get_template("items.html.j2").render(view))
    return path


def payload(rows: list[dict[str, Any]], names: Sequence[str], tasks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the script reads: the rows, the models' names (the shown one first), how each task's values are said."""
    found = {}
    for row in rows:
        if row["task"] not in found:
            found[row["task"]] = _task_view(row, tasks.get(row["task"]) or {})
    for row in rows:
        row.pop("metric", None)
    return {"names": list(names), "tasks": found, "rows": rows}


def packed(content: Any) -> str:
    """JSON as gzip in base64, the same bytes for the same content; no character of it can leave a script element."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode()


def item_row(row: dict[str, Any]) -> dict[str, Any]:
    """One row of the items file as the script reads it; what is absent, empty or no number is left out."""
    metric = str(row.get("metric") or "")
    choices = list(row.get("choices") or [])
    answer = list(row.get("answer") or [])
    found = {
        "task": str(row.get("task") or ""),
        "metric": metric,
        "id": str(row.get("item") or ""),
        "source": row.get("source"),
        "prompt": row.get("prompt"),
        "choices": choices,
        "continuation": row.get("continuation"),
        "gold": _place(answer[0] if answer else None, choices),
        "answer": answer if not (choices and row.get("logprobs")) else None,
        "tokens": sum(row.get("tokens") or []) or None,
        "marks": list(row.get("marks") or []),
        "contaminated": row.get("contaminated"),
        **answered(row),
    }
    return _said(found)


def answered(row: dict[str, Any]) -> dict[str, Any]:
    """What one model did on an item: its choice or text, whether that is right, its value and log-likelihoods."""
    choices, logprobs = list(row.get("choices") or []), list(row.get("logprobs") or [])
    prediction, info = row.get("prediction"), metric_info(str(row.get("metric") or ""))
    # Of BLEU and the like no item is right or wrong, though none but the reference's own words match it exactly.
    has_right = info.binary or info.numerator == "acc" or info.name not in METRICS
    found = {
        "chosen": _place(prediction, choices),
        "text": prediction if not (choices and logprobs) else None,  # a label may be written as well as chosen
        "correct": row.get("correct") if has_right else None,
        "value": _value(row),
        "logprobs": [_short(x) for x in logprobs] if choices else [],
    }
    return _said(found)


def _said(found: dict[str, Any]) -> dict[str, Any]:
    """Without what is absent or empty: the script reads a missing key as "not measured"."""
    return {key: value for key, value in found.items() if value is not None and value != [] and value != ""}


ANSWERED = ("chosen", "text", "correct", "value", "logprobs")


def merge(rows: list[dict[str, Any]], others: Iterable[dict[str, Any]]) -> None:
    """Add to each row, as `other`, what the other model did on the same item; items it lacks stay alone."""
    by_item = {(other["task"], other["id"]): other for other in others}
    for row in rows:
        if (other := by_item.get((row["task"], row["id"]))) is not None:
            row["other"] = {key: other[key] for key in ANSWERED if key in other}


def flip_rows(a: Items, b: Items) -> list[dict[str, Any]]:
    """The items that are right in one of two results and wrong in the other, as `write_compare_page` takes them."""
    rows = [item_row(row) for row in _pylist(b)]
    merge(rows, [item_row(row) for row in _pylist(a)])
    flips = []
    for row in rows:
        was, now = (row.get("other") or {}).get("correct"), row.get("correct")
        if was is not None and now is not None and was != now:
            words = {True: "right", False: "wrong"}
            flips.append({**row, "item": row["id"], "from": words[was], "to": words[now]})
    return flips


def _prefixes(result: dict[str, Any]) -> dict[str, str]:
    """Description and examples before every prompt of a task, as its configuration has them."""
    configs = result.get("configs") or {}
    return {str(k): str(v["prefix"]) for k, v in configs.items() if isinstance(v, dict) and v.get("prefix")}


def _task_view(row: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    metric = str(row.get("metric") or task.get("primary") or "")
    scale, info = task_words.scale(metric), metric_info(metric)
    return {
        "kind": task.get("kind") or ("choice" if row.get("choices") else ""),
        "title": task_words.title(metric),
        "factor": scale.factor,
        "digits": scale.digits,
        "unit": scale.unit,
        "higher": info.higher_is_better,
        "binary": info.binary,
        # Chosen by log-likelihood over length: the page then says both, since the bars alone would mislead.
        "by": {"acc_norm": "character", "acc_bytes": "byte"}.get(metric),
    }


def _value(row: dict[str, Any]) -> float | None:
    """The item's own value of its metric: score over weight, exp of it where the metric is one."""
    score, weight = row.get("score"), row.get("weight")
    if score is None or not math.isfinite(score):
        return None
    value = score / weight if weight else score
    if metric_info(str(row.get("metric") or "")).transform == "exp":
        value = math.exp(value) if value < 700 else math.inf
    return _short(value)


def _place(text: str | None, choices: list[str]) -> int | None:
    return choices.index(text) if text is not None and text in choices else None


def _short(value: float | None) -> float | None:
    """Four decimals are more than the page shows; NaN and infinities have no place in JSON."""
    return round(value, 4) if value is not None and math.isfinite(value) else None


def _name(result: dict[str, Any]) -> str:
    model = result.get("model")
    return str(model.get("name") if isinstance(model, dict) else model)


def short_names(names: Sequence[str]) -> list[str]:
    """Paths without the folders that all of them share: ['runs/x/tuned', 'runs/x/base'] -> ['tuned', 'base']."""
    parts = [name.rstrip("/").split("/") for name in names]
    shared = 0
    while len(names) > 1 and len({p[shared] for p in parts}) == 1 and all(len(p) > shared + 1 for p in parts):
        shared += 1
    return ["/".join(p[shared:]) for p in parts]


def _pylist(items: Items) -> list[dict[str, Any]]:
    if isinstance(items, str | Path):
        import pyarrow.parquet as pq

        items = pq.read_table(items)
    return items.to_pylist()
