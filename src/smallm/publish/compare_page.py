"""The page of a comparison: what changed between two models and whether it is real, to be seen in ten seconds.

A pure function of compare-<a>-<b>.json and the flipped items: one sentence and a mark, the differences with
their intervals, the table, the items that flipped (items_page.py's rows and script), how to read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smallm.core.files import write_text
from smallm.publish import task_words
from smallm.publish.items_page import packed, payload, short_names
from smallm.publish.whiskers import forest
from smallm.publish.words import joined

RIGHT = {"right": True, "wrong": False}


def write_compare_page(comparison: dict[str, Any], path: Path, flips: list[dict[str, Any]]) -> Path:
    """Write the page; links lead to the files beside it, those that exist.

    flips: rows of `items_page.flip_rows`, or at least {"task", "item", "from", "to"} with from and to being
    "right" or "wrong" (a to b); such bare rows show no texts.
    """
    from smallm.publish.report import environment

    tasks = {str(t["task"]): {"primary": t["metric"], "kind": ""} for t in comparison["tasks"]}
    names = [str(comparison[side]["name"]) for side in ("b", "a")]
    figure = forest(comparison, path.with_suffix(".json").name)
    view = {
        "comparison": comparison,
        "sides": [_side(comparison[side], path.parent) for side in ("a", "b")],
        "verdict": task_words.overall_verdict(comparison),
        "tally": task_words.tally(comparison),
        "rows": comparison["tasks"],
        "unchecked": joined([str(t["task"]) for t in comparison["tasks"] if t.get("contaminated") is None]),
        "words": task_words,
        "figure": figure,
        "not_compared": comparison.get("not_compared") or [],
        "notes": comparison.get("notes") or [],
        "flips": len(flips),
        "payload": packed(payload([_row(flip, tasks) for flip in flips], short_names(names), tasks)) if flips else "",
        "json": path.with_suffix(".json").name,
        "other": names[1],
        "name": names[0],
    }
    write_text(path, environment().get_template("compare.html.j2").render(view))
    return path


def _row(flip: dict[str, Any], tasks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A flip as a row of the script: the item as b answered it, with a's answer as `other`."""
    row = {key: value for key, value in flip.items() if key not in ("item", "from", "to")}
    other = row.get("other") or {}
    return {
        "metric": (tasks.get(str(flip["task"])) or {}).get("primary", ""),
        **row,
        "id": str(flip["item"]),
        "correct": RIGHT[flip["to"]],
        "other": {**other, "correct": RIGHT[flip["from"]]},
    }


def _side(model: dict[str, Any], directory: Path) -> dict[str, Any]:
    """A model's name and size, with links to its results and items where these lie beside the page."""
    file = Path(str(model.get("file") or "")).name
    items = f"{file.removesuffix('.json')}.items.html"
    return {
        "name": str(model["name"]),
        "parameters": model.get("parameters"),
        "how": task_words.how(model.get("settings") or {}),
        "sha256": str(model.get("weights_sha256") or ""),
        "file": file if file and (directory / file).is_file() else None,
        "items": items if file and (directory / items).is_file() else None,
    }
