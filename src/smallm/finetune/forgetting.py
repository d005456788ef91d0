"""Forgetting: bits per byte on general text, before and after a fine-tuning; which text, and what its change is called.

The text is `finetune.general`, else what the run itself held out of its pretraining, else Python's documentation, which
every machine with Python has. Windows of it, drawn by hash, are scored plainly (no chat template) by evaluation.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core import yamltree
from smallm.core.config import Recipe
from smallm.core.errors import UserError
from smallm.core.files import sha256_bytes, sha256_json
from smallm.evaluate.heldout import texts_of
from smallm.evaluate.task_files import read_file
from smallm.evaluate.task_items import count_words, windows
from smallm.evaluate.tasks import Item, Task, drawn, item_id, parse_task

GENERAL = "general"
TASK = "task: general\ndata: general\ntext: '{{text}}'\nmetrics: [bits_per_byte, token_perplexity]\n"
# 64 windows of 1,500 characters are read in seconds on two cores by a small model, and their paired differences tell
# changes of a few thousandths of a bit apart.
WINDOWS, CHARACTERS, MODULES = 64, 1500, 60
# Of the bits before: below the first a change is called slight, above the second large.
SLIGHT, LARGE = 0.02, 0.10


@dataclass(frozen=True)
class GeneralText:
    """The text: its windows as a task, what it is for people, `kind` file, held-out or python-docs."""

    task: Task
    kind: str
    about: str
    documents: int


def general_text(recipe: Recipe, run: Path) -> GeneralText:
    """The text that forgetting is measured on. UserError: `finetune.general` is not there or holds no text."""
    kind, about, texts = _source(recipe, run)
    items: dict[str, Item] = {}
    for text, source in texts:
        document = sha256_bytes(text.encode("utf-8", "replace"))[:16]
        for piece in windows(text, CHARACTERS):
            ident, size = item_id(piece, (), ()), len(piece.encode("utf-8"))
            items.setdefault(
                ident, Item(ident, piece, cluster=document, source=source, bytes=size, words=count_words(piece))
            )
    if not items:
        raise UserError(f"{about}: no text there to measure forgetting on. Name another file with finetune.general.")
    chosen = drawn(list(items.values()), WINDOWS)
    spec = parse_task(yamltree.parse(TASK, "general"))
    metrics = spec.values["metrics"]
    version = sha256_json([[item.id, item.cluster, item.source] for item in chosen])[:8]
    task = Task(GENERAL, version, spec.kind, tuple(chosen), metrics, metrics[0], spec)
    return GeneralText(task, kind, about, len({item.cluster for item in chosen}))


def _source(recipe: Recipe, run: Path) -> tuple[str, str, Iterator[tuple[str, str]]]:
    """(kind, what it is, its documents with their sources)."""
    named = recipe.finetune.general
    if named:
        path = Path(named)
        if not path.is_file():
            raise UserError(f"finetune.general: {named}: no such file. It is the text that forgetting is measured on.")
        return "file", path.name, _of_file(path)
    if (run / "data" / "manifest.json").is_file() and any((run / "data").glob("validation-*.parquet")):
        rows = texts_of(run / "data", "validation", ["text", "source"])
        return "held-out", "text held out of the base's pretraining", ((row["text"], row["source"]) for row in rows)
    return "python-docs", f"documentation of Python {platform.python_version()}", _python_docs()


def _of_file(path: Path) -> Iterator[tuple[str, str]]:
    for record in read_file(path):
        text = record.fields.get("text")
        if not isinstance(text, str):
            fields = ", ".join(sorted(record.fields)[:8])
            raise UserError(f"{record.where}: no text in the field `text` (fields: {fields}), for finetune.general.")
        yield text, ""


def _python_docs() -> Iterator[tuple[str, str]]:
    """The prose of MODULES modules, drawn by the hash of their names: reading all of them takes a while."""
    from smallm.data.python_docs import module_files, module_name, module_prose

    for file in sorted(module_files(), key=lambda f: sha256_bytes(f.name.encode()))[:MODULES]:
        prose = module_prose(file.path, module_name(file.name))
        if prose:
            yield prose, ""


def forgetting(row: dict[str, Any] | None, text: GeneralText) -> dict[str, Any] | None:
    """The change in words and numbers, from the comparison's row of the general text.

    `share`: of the bits before, positive where it became worse. `verdict`: "none seen" where the interval holds 0 (or
    there is none), "learned" where the text became easier, else "slight", "noticeable" or "large" by SLIGHT and LARGE.
    """
    if row is None or not row["a"]["value"]:
        return None
    share = row["difference"] / row["a"]["value"]
    known = row["low"] is not None and row["low"] * row["high"] > 0
    if not known:
        verdict = "none seen"
    elif share < 0:
        verdict = "learned"
    else:
        verdict = "slight" if share < SLIGHT else "noticeable" if share < LARGE else "large"
    return {
        "verdict": verdict,
        "share": share,
        "row": row,
        "text": {"kind": text.kind, "about": text.about, "documents": text.documents, "windows": len(text.task.items)},
        "rule": f"slight: below {100 * SLIGHT:.0f} % of the bits before; large: from {100 * LARGE:.0f} % on; "
        "none seen: the 95 % interval of the change holds 0",
    }
