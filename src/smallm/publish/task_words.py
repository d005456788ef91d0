"""Results of tasks in words: values, intervals, chance, contamination, verdicts of a comparison; plain text.

Shared by report, cards, plots and the pages of items and comparisons, so that a figure reads the same
everywhere. What no file says is "not measured". Escaping is the templates' work.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from smallm.evaluate.metrics import metric_info
from smallm.publish.words import NOT_MEASURED, joined, percent

MINUS = "\u2212"
# verdict -> (sign, CSS class): the sign and the word carry what the colour says.
VERDICTS = {
    "better": ("▲", "better"),
    "worse": ("▼", "worse"),
    "no difference seen": ("○", "same"),
    "both at chance": ("◇", "chance"),
}
# What a mark of a score means, for a reader who has not seen it before.
MARKS = {
    "truncated": "context cut on the left to fit the window",
    "spans": "a token spans the join of context and continuation",
    "windows": "longer than the window, scored in windows",
}


@dataclass(frozen=True)
class Scale:
    """How values of a metric are said and drawn: multiplied by `factor`, with `digits` decimals.

    `unit` follows a value, `step` a difference; metrics of one `axis` can share a drawing.
    """

    axis: str
    factor: float
    digits: int
    unit: str
    step: str


SHARE = Scale("percent", 100, 1, "\u00a0%", "\u00a0points")
POINTS = Scale("points of 100", 1, 1, "", "\u00a0points")


@cache
def scale(metric: str) -> Scale:
    """The metric's scale, from its unit in the table of metrics; one that the table lacks is said as it is."""
    info = metric_info(metric)
    if info.unit == "share":
        return SHARE
    if info.unit == "0 to 100":
        return POINTS
    return Scale(info.title, 1, 2 if info.transform == "exp" else 3, "", "")


def title(metric: str) -> str:
    """The metric's name for people; one that we do not know keeps its own."""
    return metric_info(metric).title.replace("_", " ")


def number(metric: str, value: float | None, *, unit: bool = True) -> str:
    """'53.4 %', '21.7', '0.612'; what these digits would hide, or what is a million and more: '4.2e−05', '1.46e+10'."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    s = scale(metric)
    scaled = value * s.factor
    plain = not scaled or 0.5 * 10**-s.digits <= abs(scaled) < 1e6
    return (f"{scaled:,.{s.digits}f}" if plain else f"{scaled:.3g}").replace("-", MINUS) + (s.unit if unit else "")


def interval(metric: str, figure: dict[str, Any] | None) -> str:
    """'50.1 to 56.7 %', or that none was measured."""
    if not figure or figure.get("low") is None or figure.get("high") is None:
        return NOT_MEASURED
    low, high, most = figure["low"], figure["high"], {"share": 1.0, "0 to 100": 100.0}.get(metric_info(metric).unit)
    if most is not None:  # the interval of a bootstrap does not know where the scale ends
        low, high = max(low, 0.0), min(high, most)
    return f"{number(metric, low, unit=False)} to {number(metric, high)}"


def difference(metric: str, value: float | None, *, unit: bool = True) -> str:
    """'+3.1 points', '−0.040'; the sign always stands there."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    s = scale(metric)
    return _signed(value * s.factor, s.digits) + (s.step if unit else "")


def difference_interval(metric: str, low: float | None, high: float | None, *, unit: bool = True) -> str:
    """'−0.4 to +5.2 points'."""
    if low is None or high is None:
        return NOT_MEASURED
    return f"{difference(metric, low, unit=False)} to {difference(metric, high, unit=unit)}"


def _signed(value: float, digits: int) -> str:
    plain = not value or 0.5 * 10**-digits <= abs(value) < 1e6
    return (f"{value:+,.{digits}f}" if plain else f"{value:+.2g}").replace("-", MINUS)


def plus_minus(metric: str, figure: dict[str, Any]) -> str:
    """'53.4 ± 1.2 %': the value and its standard error; the value alone when it has none."""
    error = figure.get("standard_error")
    if error is None or figure.get("value") is None:
        return number(metric, figure.get("value"))
    return f"{number(metric, figure['value'], unit=False)} ± {number(metric, error)}"


def chance(metric: str, figure: dict[str, Any]) -> str:
    """'25.0 %', or '' for a metric that guessing has no score in."""
    return number(metric, figure["chance"]) if figure.get("chance") is not None else ""


def at_chance(figure: dict[str, Any] | None) -> bool:
    return bool((figure or {}).get("at_chance"))


def contamination(task: dict[str, Any]) -> str:
    """'not checked', 'none found', or how many items stand in the training text and the score without them."""
    found = task.get("contamination") or {}
    if not found.get("checked"):
        return "not checked"
    hits = found.get("items")
    if not hits:
        return "none found" if hits == 0 else NOT_MEASURED
    share = f" of {task['items']:,}" if task.get("items") else ""
    clean = found.get("clean")
    without = f"; {number(str(task.get('primary')), clean.get('value'))} without them" if clean else ""
    return f"{hits:,}{share} item{'s' if hits != 1 else ''} in the training text{without}"


def contaminated(task: dict[str, Any]) -> bool:
    return bool((task.get("contamination") or {}).get("items"))


def marks(task: dict[str, Any]) -> str:
    """'12 truncated, 3 spans', or ''."""
    return ", ".join(f"{n:,} {mark}" for mark, n in sorted((task.get("marks") or {}).items()) if n)


def how(settings: dict[str, Any]) -> str:
    """How the model was run: 'float32', 'bfloat16, nf4, adapter x'; '' when no file says."""
    parts = [settings.get("dtype"), settings.get("quantisation")]
    adapter = settings.get("adapter")
    return ", ".join([*(str(part) for part in parts if part), *([f"adapter {adapter}"] if adapter else [])])


def p_in_words(p: float | None) -> str:
    """How often a difference this large appears where there is none: 'about 1 in 40', 'under 1 in 1,000'."""
    if p is None or not math.isfinite(p):
        return NOT_MEASURED
    if p < 0.001:
        return "under 1 in 1,000"
    if p > 0.5:
        return "more often than not"
    odds = int(1 / p + 1e-9)  # rounded down: p just over 0.05 must not read as 1 in 20
    return f"about 1 in {odds if odds < 100 else odds // 10 * 10:,}"


def overall_verdict(comparison: dict[str, Any]) -> tuple[str, str, str]:
    """The mark of the whole comparison: (sign, CSS class, words)."""
    overall = comparison.get("overall") or {}
    better, worse = overall.get("better") or 0, overall.get("worse") or 0
    if better and worse:
        return "◆", "mixed", "Better in some, worse in others"
    if better or worse:
        word = "better" if better else "worse"
        return *VERDICTS[word], word.capitalize()
    verdicts = {task.get("verdict") for task in comparison.get("tasks") or []}
    if verdicts == {"both at chance"}:
        return *VERDICTS["both at chance"], "Both at chance"
    return *VERDICTS["no difference seen"], "No difference seen"


def tally(comparison: dict[str, Any]) -> list[tuple[str, str, str, int]]:
    """How many tasks have each verdict: (sign, class, word, n), those that occur."""
    found = [task.get("verdict") for task in comparison.get("tasks") or []]
    return [(sign, css, word, found.count(word)) for word, (sign, css) in VERDICTS.items() if word in found]


def chance_sentence(results: list[Any]) -> str:
    """Which tasks cannot tell the model from guessing; '' when no task is at chance or none has a chance level.

    results: publish/task_facts.py's `Result`s.
    """
    found = {
        name: at_chance(task["metrics"].get(task["primary"]))
        for result in results
        for name, task in result.tasks.items()
        if (task["metrics"].get(task["primary"]) or {}).get("chance") is not None
    }
    names = [name for name, guessing in found.items() if guessing]
    if not names:
        return ""
    return (
        f"{len(names)} of {len(found)} tasks with a chance level {'is' if len(names) == 1 else 'are'} at chance "
        f"({joined(names)}): the score there cannot be told from guessing, and differences there say nothing."
    )


def slug(text: str) -> str:
    """A name as a part of a file name or an anchor."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "x"


def ece(task: dict[str, Any]) -> str:
    """How far stated probabilities lie from the share that is right: 'off by 4.2 % on average'."""
    error = (task.get("calibration") or {}).get("ece")
    return f"off by {percent(error)} on average" if error is not None else ""
