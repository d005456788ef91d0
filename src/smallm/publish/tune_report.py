"""The report's part on a fine-tuning: what its templates print, and the pages of items beside the results.

From publish/tune_facts.py; sentences are tune_words.py's, tables tune_tables.py's, drawings tune_figures.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smallm.publish import tune_tables, tune_words
from smallm.publish.facts import Facts
from smallm.publish.svg import Figure
from smallm.publish.task_facts import Result, items_table, read_json_file
from smallm.publish.tune_facts import TuneFacts
from smallm.publish.tune_figures import tune_figures


@dataclass(frozen=True)
class TuneView:
    """Everything that the section of a fine-tuning shows; `pages` are those of the items, by side."""

    t: TuneFacts
    mark: tuple[str, str, str]
    verdict: str
    made: list[tuple[str, str]]
    figures: dict[str, Figure]
    rows: list[dict[str, Any]]
    slices: list[dict[str, Any]]
    examples: list[dict[str, Any]]
    splits: list[dict[str, Any]]
    audit: list[str]
    shown: list[dict[str, Any]]
    labels: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    limits: list[str]
    pages: list[tuple[str, str]]
    notice: str

    @property
    def kind(self) -> str:
        return tune_words.KINDS.get(str((self.t.verdict or {}).get("task")), "") if self.t.verdict else ""


def view_of_tuning(facts: Facts, *, drawn: bool = True) -> TuneView | None:
    """The view; None for a run without a fine-tuning. Without drawings for the cards (`drawn` False)."""
    t = facts.tuning
    if t is None:
        return None
    return TuneView(
        t=t,
        mark=tune_words.mark(t),
        verdict=tune_words.verdict(t),
        made=tune_tables.made_rows(facts, t) if t.tuned else [],
        figures=tune_figures(t) if drawn else {},
        rows=tune_tables.figure_rows(t),
        slices=tune_tables.slice_tables(t),
        examples=tune_tables.examples(t),
        splits=tune_tables.split_rows(t),
        audit=tune_tables.audit_lines(t),
        shown=[row for row in (t.audit or {}).get("rows") or [] if isinstance(row, dict)],
        labels=tune_tables.label_rows(t),
        sources=tune_tables.source_rows(t),
        limits=tune_words.limits(facts, t),
        pages=_pages(facts.path, t),
        notice=facts.recipe.finetune.notice,
    )


def _pages(run: Path, t: TuneFacts) -> list[tuple[str, str]]:
    """(what it is, its file) of the pages that `write_tune_pages` wrote and that are there."""
    if t.verdict is None:
        return []
    named = [(f"items of {r.name}", r.page) for r in t.results if r.page]
    compared = f"{t.eval_dir}/{str(t.verdict['comparison']).removesuffix('.json')}.html"
    return ([("the whole comparison", compared)] if (run / compared).is_file() else []) + named


def write_tune_pages(facts: Facts) -> Facts:
    """Pages of items and of the comparison, written beside their results in eval/<name>/; the facts that know them."""
    t = facts.tuning
    if t is None or t.verdict is None:
        return facts
    results = [_items_page(facts.path, result) for result in t.results]
    if t.comparison is not None:
        _compare_page(facts.path, t, results)
    return replace(facts, tuning=replace(t, results=results))


def _items_page(run: Path, result: Result) -> Result:
    from smallm.publish.items_page import write_items_page

    items = items_table(run, result)
    if items is None:
        return result
    page = (run / result.file).with_suffix(".items.html")
    write_items_page(read_json_file(run / result.file), items, page)
    return replace(result, page=page.relative_to(run).as_posix())


def _compare_page(run: Path, t: TuneFacts, results: list[Result]) -> None:
    """The comparison's page with the texts of the items that flipped, where both sides' items are there."""
    from smallm.publish.compare_page import write_compare_page
    from smallm.publish.items_page import flip_rows

    verdict = t.verdict or {}
    by_file = {result.file.rsplit("/", 1)[-1]: result for result in results}
    sides = [by_file.get(str(verdict[side]["file"])) for side in ("base", "tuned")]
    tables = [items_table(run, side) if side else None for side in sides]
    flips = flip_rows(*tables) if None not in tables else []
    path = run / t.eval_dir / str(verdict["comparison"])
    write_compare_page(t.comparison or {}, path.with_suffix(".html"), flips)
