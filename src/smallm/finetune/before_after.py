"""Base against tuned item by item: confusion of labels, figures of parts of the items, examples best, worst, random.

Takes both sides' records of the same items (evaluate/run_tasks.py), gives plain data for verdict.json. No texts are
shortened but where a page could not show them; no item is chosen by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smallm.core.files import sha256_bytes
from smallm.evaluate.compare_others import differences, of_items
from smallm.evaluate.compare_sides import Pair
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.run_tasks import ItemRecord, TaskResult
from smallm.evaluate.summary import task_figure
from smallm.finetune.asked import TestItem

# Fields of examples whose values get figures of their own, in this order; `source` is the set that it came from.
SLICES = ("held_out", "construction", "kind", "answerable", "label", "source")
# More values than these are no parts that a reader could compare; fewer items than these tell nothing.
MOST_VALUES, LEAST_ITEMS = 40, 3
SHOWN, CHARACTERS = 4, 3000


def confusion(results: Sequence[TaskResult]) -> dict[str, Any] | None:
    """{"labels", "a", "b"}: rows right, columns said, the last one for what is none of the labels; None without labels.

    Labels in the task's order; one that no item has and nobody said is left out of both.
    """
    labels = list(results[0].records[0].item.choices)
    if not labels:
        return None
    tables = []
    for result in results:
        table = [[0] * (len(labels) + 1) for _ in labels]
        for record in result.records:
            table[record.item.gold or 0][len(labels) if record.predicted is None else record.predicted] += 1
        tables.append(table)
    kept = [i for i in range(len(labels)) if any(sum(table[i]) or any(row[i] for row in table) for table in tables)]
    columns = [*kept, len(labels)]
    cut = [[[table[i][j] for j in columns] for i in kept] for table in tables]
    return {"labels": [labels[i] for i in kept], "a": cut[0], "b": cut[1]}


def slices(pair: Pair, results: Sequence[TaskResult], items: Mapping[str, TestItem]) -> dict[str, list[dict[str, Any]]]:
    """Field -> a row for each of its values: items, both figures, the paired difference; fields that split nothing are
    left out. The differences are looks at parts, not tests of their own: they are not corrected for being several."""
    found = {}
    for field in SLICES:
        groups: dict[str, list[str]] = {}
        for record in results[0].records:
            for value in _values(items[record.item.id], field):
                groups.setdefault(value, []).append(record.item.id)
        groups = {value: ids for value, ids in groups.items() if len(ids) >= LEAST_ITEMS}
        if 2 <= len(groups) <= MOST_VALUES:
            found[field] = _rows(pair, results, groups)
    return found


def _values(item: TestItem, field: str) -> list[str]:
    """The item's values of a field as text; several where it is a list."""
    value = item.source if field == "source" else item.fields.get(field)
    if value is None or value == "" or isinstance(value, dict):
        return []
    return [_text(v) for v in value] if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _rows(pair: Pair, results: Sequence[TaskResult], groups: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    paired = differences([of_items(pair, set(ids)) for ids in groups.values()])
    rows = []
    for (value, ids), difference in zip(groups.items(), paired, strict=True):
        chosen = set(ids)
        figures = []
        for result in results:
            part = [record for record in result.records if record.item.id in chosen]
            info = metric_info(pair.metric)
            empty = info.denominator is not None and not sum(r.values[info.denominator] for r in part)
            figures.append(None if empty else task_figure(result.task, part, pair.metric))
        rows.append({"value": value, "items": len(ids), "a": figures[0], "b": figures[1], "difference": difference})
    return sorted(rows, key=lambda row: (-row["items"], row["value"]))


def value_of(record: ItemRecord, metric: str) -> float:
    """The item's own value of a metric: of BLEU the sentence's, of macro-F1 whether it is right, of a ratio whose sums
    say nothing of one item what its kind puts into `item_value`."""
    info = metric_info(metric)
    if info.own:
        return record.values["item_value"]
    above = record.values[info.numerator]
    return above if info.denominator is None else above / (record.values[info.denominator] or 1.0)


def examples(
    results: Sequence[TaskResult], items: Mapping[str, TestItem], metric: str, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """SHOWN items each: `best` gained most by the tuning, `worst` lost most (or stayed lowest), `random` by their hash.

    Equal gains are ordered by the tuned model's value, then by hash; an item stands in one list only.
    """
    sign = 1.0 if metric_info(metric).higher_is_better else -1.0
    before, after = ({r.item.id: r for r in result.records} for result in results)
    value = {name: (value_of(before[name], metric) * sign, value_of(after[name], metric) * sign) for name in after}
    draw = {name: sha256_bytes(f"{seed} {name}".encode()) for name in after}
    best = sorted(after, key=lambda n: (value[n][0] - value[n][1], -value[n][1], draw[n]))[:SHOWN]
    rest = [name for name in after if name not in best]
    worst = sorted(rest, key=lambda n: (value[n][1] - value[n][0], value[n][1], draw[n]))[:SHOWN]
    others = sorted((name for name in rest if name not in worst), key=draw.__getitem__)[:SHOWN]
    return {
        kind: [_example(items[name], before[name], after[name], metric) for name in names]
        for kind, names in (("best", best), ("worst", worst), ("random", others))
    }


def _example(item: TestItem, before: ItemRecord, after: ItemRecord, metric: str) -> dict[str, Any]:
    return {
        "id": item.id,
        "source": item.source,
        "messages": [{"role": m["role"], "content": shortened(m["content"])} for m in item.messages],
        "answer": shortened(item.answer),
        "a": {"text": shortened(before.prediction), "value": value_of(before, metric)},
        "b": {"text": shortened(after.prediction), "value": value_of(after, metric)},
    }


def shortened(text: str) -> str:
    """At most CHARACTERS, the middle left out and said."""
    if len(text) <= CHARACTERS:
        return text
    half = CHARACTERS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"
