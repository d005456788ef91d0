"""Paired differences beside a comparison's own: the other metrics of its tasks, and parts of its items.

The same tests as compare.py's, on the same pairs; what they give is not corrected for being several, and says so by
being apart: a verdict is the primary metric's, of all items.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smallm.evaluate.compare import scores_of
from smallm.evaluate.compare_sides import Pair, match, read_sides
from smallm.evaluate.metrics import METRICS, metric_info
from smallm.evaluate.paired import Paired, compare_many


def pairs_of(a: Path, b: Path) -> dict[str, Pair]:
    """Task -> its items on both sides, of two result files. UserError as `compare_sides.match`."""
    pairs, _ = match(*read_sides([a], [b]))
    return {pair.task: pair for pair in pairs}


def other_metrics(pair: Pair) -> dict[str, dict[str, Any]]:
    """Metric -> its paired difference, of every further metric that both sides have; none where nothing can be paired.

    A metric whose denominator is empty on one side (the precision of refusals of who never refuses) is left out.
    """
    tasks = [result.content["tasks"][pair.task]["metrics"] for result in (pair.a_result, pair.b_result)]
    names = [name for name in tasks[0] if name in tasks[1] and name in METRICS and name != pair.metric]
    changed = {name: with_metric(pair, name) for name in names}
    usable = {name: found for name, found in changed.items() if found is not None}
    results = compare_many([scores_of(found) for found in usable.values()]) if usable else []
    return {
        name: {"metric": name, "title": metric_info(name).title, "a": tasks[0][name], "b": tasks[1][name]}
        | {"higher_is_better": metric_info(name).higher_is_better}
        | difference_of(paired)
        for name, paired in zip(usable, results, strict=True)
    }


def one_sided_metrics(pair: Pair) -> list[tuple[str, str, float]]:
    """(title, `a` or `b`, value) of every metric that one side alone has: on the other it is counted over nothing."""
    a, b = (result.content["tasks"][pair.task]["metrics"] for result in (pair.a_result, pair.b_result))
    sides = (("a", a, b), ("b", b, a))
    return [
        (metric_info(name).title, side, float(mine[name]["value"]))
        for side, mine, other in sides
        for name in mine
        if name in METRICS and name not in other
    ]


def with_metric(pair: Pair, metric: str) -> Pair | None:
    """The pair scored by another metric of its task; None where a column or a denominator is not there."""
    info = metric_info(metric)
    if info.kind == "corpus":  # computed from the texts
        return replace(pair, metric=metric)
    sides = []
    for result, columns in ((pair.a_result, pair.a), (pair.b_result, pair.b)):
        rows = {row["item"]: row for row in result.rows(pair.task).to_pylist()}
        ordered = [rows[item] for item in columns["item"]]
        score = [row.get(info.numerator) for row in ordered]
        weight = [1.0 if info.denominator is None else row.get(info.denominator) for row in ordered]
        if None in score or None in weight or not sum(weight):
            return None
        sides.append({**columns, "score": score, "weight": weight})
    return replace(pair, metric=metric, a=sides[0], b=sides[1])


def of_items(pair: Pair, items: Collection[str]) -> Pair:
    """The pair with these items alone."""
    kept = [i for i, item in enumerate(pair.ids) if item in items]

    def chosen(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {name: [values[i] for i in kept] for name, values in columns.items()}

    return replace(pair, a=chosen(pair.a), b=chosen(pair.b))


def differences(pairs: Sequence[Pair]) -> list[dict[str, Any] | None]:
    """The paired difference of each pair by its own metric; None where a side has nothing to divide by."""
    usable = [i for i, pair in enumerate(pairs) if sum(pair.a["weight"]) and sum(pair.b["weight"])]
    results = compare_many([scores_of(pairs[i]) for i in usable]) if usable else []
    found: list[dict[str, Any] | None] = [None] * len(pairs)
    for i, paired in zip(usable, results, strict=True):
        found[i] = difference_of(paired)
    return found


def difference_of(paired: Paired) -> dict[str, Any]:
    """A paired result as files have it."""
    return {
        "difference": paired.difference,
        "standard_error": paired.standard_error,
        "low": paired.low,
        "high": paired.high,
        "p_value": paired.p_value,
        "test": paired.test,
        "items": paired.items,
        "clusters": paired.clusters,
        "minimum_detectable": paired.mde,
    }
