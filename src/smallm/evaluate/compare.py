"""Two models compared on the same items: differences with intervals, tests corrected over the tasks, verdicts, flips.

Takes result files (evaluate/results.py), gives compare-<a>-<b>.json as a dict. The order is: read both sides, pair
their items (compare_sides.py), test each task (paired.py), correct by Holm, say it (compare_words.py). b - a
everywhere; "better" and "worse" are b's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from smallm.core.errors import UserError
from smallm.evaluate.compare_sides import Pair, Side, match, read_sides, setting_notes
from smallm.evaluate.compare_words import BETTER, CHANCE, SAME, WORSE, sentence
from smallm.evaluate.metrics import MetricInfo, metric_info
from smallm.evaluate.paired import Paired, PairedCorpus, PairedScores, compare_many, false_discovery, holm
from smallm.evaluate.text_metrics import TextScore, found_label, macro_f1, macro_f1_statistics

FORMAT = "smallm-compare-1"
ALPHA = 0.05


def compare(
    a: Path | Sequence[Path], b: Path | Sequence[Path], *, suite: str | None = None, alpha: float = ALPHA
) -> dict[str, Any]:
    """The comparison of two models by their result files; `suite` narrows it to one.

    UserError: files that are no results, tasks or items that are not the same, scores that are no numbers.
    """
    left, right = read_sides(_paths(a), _paths(b))
    return comparison_of(left, right, *match(left, right, suite), alpha=alpha)


def _paths(paths: Path | str | Sequence[Path]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, str | Path) else list(paths)


def comparison_of(
    a: Side, b: Side, pairs: Sequence[Pair], missing: Sequence[dict[str, str]], *, alpha: float = ALPHA
) -> dict[str, Any]:
    """The comparison of paired tasks; `missing`: {task, why} of what is not compared."""
    testable = [pair for pair in pairs if not pair.metric.startswith("evaluate:")]
    missing = [
        *missing,
        *(
            {"task": pair.task, "why": f"{pair.metric} has no item scores that could be paired"}
            for pair in pairs
            if pair.metric.startswith("evaluate:")
        ),
    ]
    if not testable:
        raise UserError("\n".join(f"{row['task']}: {row['why']}." for row in missing))
    results = compare_many([scores_of(pair) for pair in testable])
    adjusted = holm([paired.p_value for paired in results])
    shares = false_discovery([paired.p_value for paired in results])
    rows = [
        _row(pair, paired, p, q, alpha) for pair, paired, p, q in zip(testable, results, adjusted, shares, strict=True)
    ]
    flips = [flip for pair in testable for flip in flips_of(pair)]
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in (BETTER, WORSE, SAME, CHANCE)}
    hashes = [side.model.get("weights_sha256") for side in (a, b)]
    same = hashes[0] is not None and hashes[0] == hashes[1]
    return {
        "format": FORMAT,
        "a": _side(a),
        "b": _side(b),
        "tasks": rows,
        "not_compared": sorted(missing, key=lambda row: row["task"]),
        "overall": {
            "better": counts[BETTER],
            "worse": counts[WORSE],
            "unclear": counts[SAME] + counts[CHANCE],
            "at_chance": counts[CHANCE],
            "sentence": sentence(a.name, b.name, rows, same_weights=same),
        },
        "notes": setting_notes(a, b) + _length_notes(a, b, rows),
        "same_weights": same,
        "alpha": alpha,
        "correction": f"Holm over {len(rows)} task{'s' if len(rows) != 1 else ''}",
        "flips": flips,
    }


def _side(side: Side) -> dict[str, Any]:
    files = [result.path.name for result in side.results]
    model = side.model
    return {
        "name": side.name,
        "file": max(side.results, key=lambda r: len(r.content["tasks"])).path.name,
        "files": files,
        "weights_sha256": model.get("weights_sha256"),
        "parameters": model.get("parameters"),
        "settings": model.get("settings") or {},
    }


# ---- one task ------------------------------------------------------------------------------------------------------


def scores_of(pair: Pair) -> PairedScores | PairedCorpus:
    """The task's scores as the tests take them."""
    info, clusters = metric_info(pair.metric), pair.clusters()
    if info.kind == "corpus":
        a_NS, b_NS, score = _statistics(pair)
        return PairedCorpus(a_NS, b_NS, score, clusters)
    a, b = pair.a["score"], pair.b["score"]
    if info.kind == "mean":
        return PairedScores(a, b, None, clusters, binary=info.binary)
    weights = (pair.a["weight"], pair.b["weight"])
    return PairedScores(a, b, weights[0], clusters, b_weights_N=weights[1], transform=info.transform)


def _statistics(pair: Pair) -> tuple[np.ndarray, np.ndarray, Any]:
    """Sufficient statistics of a corpus metric, of both models, and the score of their sums."""
    if pair.metric == "macro_f1":
        return *_confusion(pair), macro_f1
    scorer = TextScore(pair.metric)
    answers = pair.a["answer"]
    a_NS, b_NS = (scorer.statistics(side["prediction"], answers) for side in (pair.a, pair.b))
    return a_NS, b_NS, scorer.score


def _confusion(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """As summary.task_figure counts: labels are places among the choices, those that are never right left out."""
    gold_N = []
    for item, choices, answer in zip(pair.ids, pair.a["choices"], pair.a["answer"], strict=True):
        if not answer or answer[0] not in choices:
            raise UserError(
                f"{pair.task}, item {item}: its answer is none of its labels, so macro F1 cannot be counted."
            )
        gold_N.append(choices.index(answer[0]))
    label = {gold: i for i, gold in enumerate(sorted(set(gold_N)))}
    found = []
    for side in (pair.a, pair.b):
        said_N = []
        for text, choices in zip(side["prediction"], side["choices"], strict=True):
            place = choices.index(text) if text in choices else found_label(text, choices)
            said_N.append(None if place is None else label.get(place))
        found.append(macro_f1_statistics([label[gold] for gold in gold_N], said_N, len(label)))
    return found[0], found[1]


def _row(pair: Pair, paired: Paired, adjusted: float, share: float, alpha: float) -> dict[str, Any]:
    """The task's row of the comparison."""
    info = metric_info(pair.metric)
    figures = [r.content["tasks"][pair.task]["metrics"][pair.metric] for r in (pair.a_result, pair.b_result)]
    return {
        "task": pair.task,
        "metric": pair.metric,
        "title": info.title,
        "higher_is_better": info.higher_is_better,
        "a": figures[0],
        "b": figures[1],
        "difference": paired.difference,
        "standard_error": paired.standard_error,
        "low": paired.low,
        "high": paired.high,
        "p_value": paired.p_value,
        "p_adjusted": adjusted,
        "false_discovery": share,
        "test": paired.test,
        "items": paired.items,
        "clusters": paired.clusters,
        "minimum_detectable": paired.mde,
        **_counts(pair, paired),
        "verdict": verdict(paired.difference, adjusted, figures, info, alpha),
        "contaminated": _contaminated(pair),
        "length": _lengths(pair),
    }


def verdict(
    difference: float, adjusted: float, figures: Sequence[dict[str, Any]], info: MetricInfo, alpha: float = ALPHA
) -> str:
    """Of b against a. Two models that guess are not compared, however their guesses fell."""
    if all(figure.get("at_chance") for figure in figures):
        return CHANCE
    if adjusted >= alpha or difference == 0:
        return SAME
    return BETTER if (difference > 0) == info.higher_is_better else WORSE


def _rights(pair: Pair) -> tuple[list[bool], list[bool]] | None:
    """Which items each model has right; None where a metric knows no right and wrong (bits per byte, BLEU, F1)."""
    info = metric_info(pair.metric)
    if info.binary:
        return [s == 1 for s in pair.a["score"]], [s == 1 for s in pair.b["score"]]
    if info.numerator == "acc" and None not in pair.a["correct"] and None not in pair.b["correct"]:
        return pair.a["correct"], pair.b["correct"]
    return None


def _counts(pair: Pair, paired: Paired) -> dict[str, int | None]:
    """How many items a alone, b alone, both and neither have right."""
    if paired.a_only is not None or (rights := _rights(pair)) is None:
        return {name: getattr(paired, name) for name in ("a_only", "b_only", "both", "neither")}
    a, b = (np.array(side) for side in rights)
    return {
        "a_only": int((a & ~b).sum()),
        "b_only": int((b & ~a).sum()),
        "both": int((a & b).sum()),
        "neither": int((~a & ~b).sum()),
    }


def flips_of(pair: Pair) -> list[dict[str, str]]:
    """The items that one model has right and the other wrong: {task, item, from, to}, from a to b."""
    rights = _rights(pair)
    if rights is None:
        return []
    words = {True: "right", False: "wrong"}
    return [
        {"task": pair.task, "item": item, "from": words[was], "to": words[now]}
        for item, was, now in zip(pair.ids, *rights, strict=True)
        if was != now
    ]


def _contaminated(pair: Pair) -> bool | None:
    """True: items stand in the training text of one of them; None: that was not looked for in both."""
    found = [r.content["tasks"][pair.task].get("contamination") or {} for r in (pair.a_result, pair.b_result)]
    if any(side.get("items") for side in found):
        return True
    return False if all(side.get("checked") for side in found) else None


def _lengths(pair: Pair) -> dict[str, float] | None:
    """Mean characters of what a and b answered, and of the right answers; None where no length could be chosen."""
    answers, choices = pair.a["answer"], pair.a["choices"]
    alike = any(choices) and all(len({len(choice) for choice in row}) == 1 for row in choices if row)
    if not any(answers) or alike:
        return None
    said = ([len(text or "") for text in side["prediction"]] for side in (pair.a, pair.b))
    means = [sum(lengths) / len(lengths) for lengths in said]
    right = [sum(map(len, row)) / len(row) for row in answers if row]
    return {"a": means[0], "b": means[1], "right": sum(right) / len(right)}


def _length_notes(a: Side, b: Side, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Tasks where b's answers are a tenth longer or shorter than a's: a change of length can look like one of skill."""
    notes = []
    for row in rows:
        length = row["length"]
        if length and abs(length["b"] - length["a"]) > 0.1 * max(length["a"], 1.0):
            notes.append(
                f"{row['task']}: the answers have {length['a']:.1f} characters on average in {a.name}, "
                f"{length['b']:.1f} in {b.name}, the right ones {length['right']:.1f}"
            )
    return notes
