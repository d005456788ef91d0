"""A comparison in one or two sentences for a newcomer: what is better, what is worse, what could not be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smallm.evaluate.metrics import metric_info

BETTER, WORSE, SAME, CHANCE = "better", "worse", "no difference seen", "both at chance"


def sentence(a: str, b: str, tasks: Sequence[dict[str, Any]], *, same_weights: bool) -> str:
    """The overall verdict. `tasks`: rows of the comparison's JSON, at least one."""
    of = {verdict: [t for t in tasks if t["verdict"] == verdict] for verdict in (BETTER, WORSE, SAME, CHANCE)}
    unclear, guessing, found = of[SAME], of[CHANCE], of[BETTER] + of[WORSE]
    parts = [f"{a} and {b} are the same weights."] if same_weights else []
    if len(tasks) == 1:
        return " ".join([*parts, _one(a, b, tasks[0])])
    n = len(tasks)
    if all(t["difference"] == 0 and not t["standard_error"] for t in tasks):
        return " ".join([*parts, f"{b} scores as {a} on every item of all {n} tasks."])
    if found:
        better = f"better than {a} on {len(of[BETTER])} of {n} tasks ({_names(of[BETTER])})" if of[BETTER] else ""
        worse = f"worse{'' if of[BETTER] else f' than {a}'} on {len(of[WORSE])}"
        worse += f"{'' if of[BETTER] else f' of {n} tasks'} ({_names(of[WORSE])})" if of[WORSE] else ""
        both = [better, worse] if of[WORSE] else [better, "worse on none"]
        text = f"{b} is {', '.join(part for part in both if part)}"
        if unclear:
            text += f"; {_unclear(unclear)}"
        parts.append(text + ".")
    elif unclear:
        where = f"any of the {n} tasks" if not guessing else f"{_count(unclear)} of {n} ({_names(unclear)})"
        parts.append(f"No difference between {a} and {b} was seen on {where}{_detectable(unclear)}.")
    if guessing:
        parts.append(
            f"On {_count(guessing)} ({_names(guessing)}) both are at chance: guessing scores the same, so differences "
            "there mean nothing."
        )
    return " ".join(parts)


def _one(a: str, b: str, task: dict[str, Any]) -> str:
    name, verdict = task["task"], task["verdict"]
    if verdict in (BETTER, WORSE):
        step = amount(task["metric"], abs(task["difference"]))
        between = ""
        if task["low"] is not None and task["low"] * task["high"] > 0:
            low, high = sorted(abs(task[end]) for end in ("low", "high"))
            between = f" (95 % interval {_range(task['metric'], low, high)})"
        return f"{b} is {verdict} than {a} on {name} by {step}{between}."
    if verdict == CHANCE:
        return f"On {name} both are at chance: guessing scores the same, so a difference there means nothing."
    if task["difference"] == 0 and not task["standard_error"]:
        return f"{b} scores as {a} on every item of {name}."
    return f"No difference between {a} and {b} was seen on {name}{_detectable([task])}."


def _unclear(tasks: Sequence[dict[str, Any]]) -> str:
    shows = "shows" if len(tasks) == 1 else "show"
    return f"{len(tasks)} {shows} no difference that {_items(tasks)} could tell apart{_needed(tasks)}"


def _detectable(tasks: Sequence[dict[str, Any]]) -> str:
    return f" with {_items(tasks)}{_needed(tasks)}"


def _needed(tasks: Sequence[dict[str, Any]]) -> str:
    """' (at least 5.1 points would be needed)'; a range over tasks, one a unit; none where nothing could be found."""
    by_unit: dict[str, list[tuple[float, str]]] = {}
    for task in tasks:
        value = task["minimum_detectable"]
        if value:
            unit = "share" if metric_info(task["metric"]).unit == "share" else task["metric"]
            by_unit.setdefault(unit, []).append((value, task["metric"]))
    ranges = []
    for values in by_unit.values():
        (low, metric), (high, _) = min(values), max(values)
        ranges.append(_range(metric, low, high))
    return f" (at least {' or '.join(ranges)} would be needed)" if ranges else ""


def _items(tasks: Sequence[dict[str, Any]]) -> str:
    low, high = min(t["items"] for t in tasks), max(t["items"] for t in tasks)
    return f"{low:,} item{'s' if low != 1 else ''}" if low == high else f"{low:,} to {high:,} items"


def _count(tasks: Sequence[dict[str, Any]]) -> str:
    return f"{len(tasks)} task{'s' if len(tasks) != 1 else ''}"


def _names(tasks: Sequence[dict[str, Any]], most: int = 4) -> str:
    """'x, y and z'; beyond `most`, how many more."""
    names = [t["task"] for t in tasks]
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _range(metric: str, low: float, high: float) -> str:
    """'5.1 to 8.3 points', or one amount where both read the same."""
    few, many = amount(metric, low), amount(metric, high)
    return few if few == many else f"{few.split(' ')[0]} to {many}"


def amount(metric: str, size: float) -> str:
    """A difference without its sign: '5.1 points', '0.012 bits per byte', '1.3 (perplexity by word)'."""
    info = metric_info(metric)
    if info.unit in ("share", "0 to 100"):
        value = 100 * size if info.unit == "share" else size
        return f"{value:.1f} points" if value >= 0.05 or not value else f"{value:.1g} points"
    return f"{size:.3g} {info.title}"
