"""report/writeup.md: the first draft of a blog post on a fine-tuning, every sentence from a file of the run.

What, why, data, method, result with intervals, examples, what did not work, limits, how to reproduce. What no file says
stays out or reads "not measured"; the "why" is the recipe's description, which is the author's own.
"""

from __future__ import annotations

from typing import Any

from smallm.publish import tune_words, words
from smallm.publish.facts import Facts
from smallm.publish.task_facts import finite
from smallm.publish.tune_facts import TuneFacts
from smallm.publish.tune_report import TuneView


def write_up(facts: Facts, tuning: TuneView) -> str:
    """The post as Markdown."""
    from smallm.publish.report import environment

    view = {
        "facts": facts,
        "tuning": tuning,
        "t": tuning.t,
        "v": tuning.t.verdict,
        "words": words,
        "base": tune_words.base_name(tuning.t),
        "method": tune_words.method(tuning.t),
        "failures": what_did_not_work(tuning.t),
        "samples": {group["kind"]: group["rows"][:2] for group in tuning.examples},
        "command": f"smallm run recipe.yaml --run {facts.name}",
    }
    return environment().get_template("writeup.md.j2").render(view)


def what_did_not_work(t: TuneFacts) -> list[str]:
    """The weak points that the files show: parts without a gain, baselines not beaten, forgetting, unclear results."""
    v = t.verdict
    if v is None:
        return []
    found = []
    if v["verdict"] != "better":
        found.append(str(v["sentence"]))
    for row in (v["others"] or {}).values():
        if not _gained(row):
            found.append(f"{row['title']} did not clearly improve ({_change(row)}).")
    for field, rows in (v["slices"] or {}).items():
        weak = [row["value"] for row in rows if row["difference"] and not _gained(row["difference"] | _way(v))]
        if weak:
            title = tune_words.SLICE_TITLES.get(field, field.replace("_", " "))
            found.append(f"By {title}, no clear gain on: {words.joined(weak)}.")
    best = tune_words.best_baseline(t)
    if best is not None and v["beyond_baselines"] is False:
        found.append(f"It was not seen to beat {best['title_of']}: {best['means']} may do as well.")
    if v["forgetting"] and v["forgetting"]["verdict"] in ("slight", "noticeable", "large"):
        found.append(str(v["forgetting_sentence"]))
    return found


def _way(v: dict[str, Any]) -> dict[str, Any]:
    return {"higher_is_better": v["row"]["higher_is_better"]}


def _gained(row: dict[str, Any]) -> bool:
    """Whether the interval of the difference lies on the better side of 0."""
    low, high = finite(row.get("low")), finite(row.get("high"))
    if low is None or high is None:
        return False
    return low > 0 if row["higher_is_better"] else high < 0


def _change(row: dict[str, Any]) -> str:
    from smallm.publish import task_words as say

    return say.difference_interval(row["metric"], row["low"], row["high"])
