"""The verdict of a fine-tuning: better than its base, worse, or cannot tell, and what that is worth; as plain data.

Takes comparisons (evaluate/compare.py: b - a, b being the tuned model), gives the words and numbers that report and
cards print. A tuned model that beats its base but not a table of its training examples has learned no more than the
table holds: the baselines are part of the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scipy.special import ndtri

from smallm.evaluate.compare_words import BETTER, WORSE, amount
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.paired import ALPHA, LEAST_EXPECTED_FLIPS, POWER

CANNOT_TELL, AT_CHANCE = "cannot tell", "at chance"
FORMAT = "smallm-tuned-verdict-1"
# Beyond so many items a number of them is no plan.
MOST_ITEMS = 1_000_000
RULE = (
    "n (z/d)\u00b2 items in all, where n is the number of items, d the observed difference in its own paired standard "
    f"errors and z = {float(ndtri(1 - ALPHA / 2) + ndtri(POWER)):.2f} for one test (a larger one for several, alpha "
    f"shared among them): if the true difference is the observed one, so many items find it {POWER:.0%} of the time"
)


def needed_items(row: dict[str, Any], tests: int = 1) -> dict[str, Any] | None:
    """How many items would show the observed difference with probability 0.8 at p < 0.05 over `tests` tests (Holm).

    {"items": in all, "more": than there were, "rule"}; None where there is no difference or no error to go by. A 0/1
    metric also needs enough expected flips for an exact McNemar test. `items` None: over MOST_ITEMS.
    """
    difference, error, items = row["difference"], row["standard_error"], row["items"]
    if not difference or not error:
        return None
    z = float(ndtri(1 - ALPHA / (2 * max(1, tests))) + ndtri(POWER))
    total = items * (z * error / difference) ** 2
    if metric_info(row["metric"]).binary:
        total = max(total, LEAST_EXPECTED_FLIPS / abs(difference))
    if total > MOST_ITEMS:
        return {"items": None, "more": None, "rule": RULE}
    # Seen as unclear with as many: at least one more is needed, however the formula rounds.
    whole = max(math.ceil(total), items + 1)
    return {"items": whole, "more": whole - items, "rule": RULE}


def verdict_word(row: dict[str, Any], *, chance: dict[str, Any] | None = None) -> str:
    """better, worse, cannot tell; at chance where both sides guess (`chance`: with `a` and `b` at chance or not)."""
    if chance is not None and chance["a_at_chance"] and chance["b_at_chance"]:
        return AT_CHANCE
    return {BETTER: "better", WORSE: "worse"}.get(row["verdict"], CANNOT_TELL)


def chance_of(rows_a: dict[str, Any], rows_b: dict[str, Any], level: tuple[float, float, float]) -> dict[str, Any]:
    """Whether accuracies lie where a guesser's would: of one class among several, each as likely."""
    value, low, high = level
    return {
        "value": value,
        "low": low,
        "high": high,
        "a_at_chance": bool(low - 1e-12 <= rows_a["value"] <= high + 1e-12),
        "b_at_chance": bool(low - 1e-12 <= rows_b["value"] <= high + 1e-12),
    }


def beyond_baselines(baselines: Sequence[dict[str, Any]]) -> bool | None:
    """Whether the tuned model is better than each baseline, by the paired test; None where none was scored."""
    return all(row["verdict"] == BETTER for row in baselines) if baselines else None


def best_baseline(baselines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The baseline of the best figure."""
    sign = {True: 1, False: -1}
    known = [row for row in baselines if row["a"]["value"] is not None]
    return max(known, key=lambda row: sign[row["higher_is_better"]] * row["a"]["value"], default=None)


# ---- in words ------------------------------------------------------------------------------------------------------


def sentence(
    name: str, word: str, row: dict[str, Any], baselines: Sequence[dict[str, Any]], needed: dict[str, Any] | None
) -> str:
    """One to three sentences: the verdict, its figures, the best baseline."""
    parts = [_verdict(name, word, row, needed)]
    best = best_baseline(baselines)
    if best is not None:
        parts.append(_baseline(best, baselines, word))
    return " ".join(parts)


def _verdict(name: str, word: str, row: dict[str, Any], needed: dict[str, Any] | None) -> str:
    metric = row["metric"]
    title = metric_info(metric).title
    figures = f"{title} {said(metric, row['b']['value'])} against {said(metric, row['a']['value'])}"
    items = f"{row['items']:,} test item{'s' if row['items'] != 1 else ''}"
    if word == AT_CHANCE:
        return f"{name} and its base both guess: {figures} on {items}, where guessing gives as much."
    if word != CANNOT_TELL:
        return f"{name} is {word} than its base: {figures} on {items}{_interval(row)}."
    text = f"Whether {name} is better than its base cannot be told from {items}: {figures}{_interval(row)}."
    return f"{text} {_needed(row, needed)}"


def _interval(row: dict[str, Any]) -> str:
    if row["low"] is None or row["high"] is None or row["low"] == row["high"]:
        return ""
    low, high = (_signed(row["metric"], row[end]) for end in ("low", "high"))
    return f" (difference {_signed(row['metric'], row['difference'])}, 95 % interval {low} to {high})"


def _needed(row: dict[str, Any], needed: dict[str, Any] | None) -> str:
    least = row.get("minimum_detectable")
    floor = f" So few would show a difference of {amount(row['metric'], least)} or more, 4 times in 5." if least else ""
    if not row["difference"]:
        return f"No difference at all was seen.{floor}"
    if needed is None:
        return f"How many items would be needed is not known.{floor}"
    if needed["more"] is None:
        return f"If the true difference is the one seen, more than {MOST_ITEMS:,} items would be needed.{floor}"
    return f"If the true difference is the one seen, {needed['more']:,} more items would show it.{floor}"


def _baseline(best: dict[str, Any], baselines: Sequence[dict[str, Any]], word: str) -> str:
    metric, which = best["metric"], "The better baseline" if len(baselines) > 1 else "The baseline"
    which = "The best of the baselines" if len(baselines) > 2 else which
    reached = f"{which}, {best['title_of']}, reaches {said(metric, best['a']['value'])}"
    if best["verdict"] == BETTER:
        return f"{reached}: the tuned model is {amount(metric, abs(best['difference']))} beyond it{_of(best)}."
    if best["verdict"] == WORSE:
        return (
            f"{reached}: the tuned model stays {amount(metric, abs(best['difference']))} behind it{_of(best)}, so "
            f"{best['means']} does better than it."
        )
    also = "what it learned may be no more than that" if word == "better" else "it cannot be told from that either"
    return f"{reached}, and no difference to the tuned model was seen{_of(best)}: {also} ({best['means']})."


def _of(row: dict[str, Any]) -> str:
    if row["low"] is None or row["high"] is None or row["low"] == row["high"]:
        return ""
    return f" (95 % interval {_signed(row['metric'], row['low'])} to {_signed(row['metric'], row['high'])})"


def said(metric: str, value: float | None) -> str:
    """'53.4 %', '21.7', '0.612'."""
    if value is None:
        return "no figure"
    unit = metric_info(metric).unit
    return f"{100 * value:.1f} %" if unit == "share" else f"{value:.1f}" if unit == "0 to 100" else f"{value:.3f}"


def _signed(metric: str, value: float) -> str:
    """'+3.1 points' without its unit: '+3.1'."""
    unit = metric_info(metric).unit
    text = f"{100 * value:+.1f}" if unit == "share" else f"{value:+.1f}" if unit == "0 to 100" else f"{value:+.3f}"
    return text.replace("-", "\u2212")


def forgetting_sentence(found: dict[str, Any] | None) -> str:
    """What happened to the bits per byte of general text; '' where it was not measured."""
    if found is None:
        return ""
    row, verdict, share = found["row"], found["verdict"], abs(found["share"])
    figures = (
        f"{said('bits_per_byte', row['b']['value'])} bits per byte against {said('bits_per_byte', row['a']['value'])}"
    )
    where = f"on {found['text']['about']}"
    if verdict == "none seen":
        return f"No forgetting was seen {where}: {figures}."
    if verdict == "learned":
        return f"Nothing was forgotten {where}: {figures}, {100 * share:.1f} % fewer."
    word = {"slight": "a little", "noticeable": "noticeably", "large": "much"}[verdict]
    return f"It forgot {word} {where}: {figures}, {100 * share:.1f} % more."
