"""Figures of a task from its item records: metrics with errors, by source, calibration, without contaminated items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smallm.evaluate.metrics import METRICS, MetricInfo, metric_info
from smallm.evaluate.statistics import (
    Estimate,
    chance_interval,
    estimate_corpus,
    estimate_mean,
    estimate_ratio,
    figure,
)
from smallm.evaluate.tasks import Task
from smallm.evaluate.text_metrics import TextScore, library_metric, macro_f1, macro_f1_statistics

if TYPE_CHECKING:
    from smallm.evaluate.run_tasks import ItemRecord

BINS = 10
CHANCE = ("acc", "acc_norm", "acc_bytes")
Figure = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """What the result file says of a task. Figures are statistics.figure's dicts."""

    metrics: dict[str, Figure]
    sources: dict[str, dict[str, Figure]]
    calibration: dict[str, Any] | None
    marks: dict[str, int]
    contamination: dict[str, Any]
    signature: str | None
    clusters: int
    majority: float | None


def summarise_task(task: Task, records: Sequence[ItemRecord]) -> Summary:
    """All figures of a task's records (at least one)."""
    metrics = {name: task_figure(task, records, name) for name in task.metrics}
    signatures = [TextScore(name) for name in task.metrics if name in ("bleu", "chrf")]
    for scorer in signatures:
        scorer.statistics([records[0].prediction], [_padded(task, records[0])])
    return Summary(
        metrics=metrics,
        sources=_by_source(task, records),
        calibration=calibration(records) if task.kind == "choice" else None,
        marks=dict(sorted(Counter(mark for record in records for mark in record.marks).items())),
        contamination=_contamination(task, records),
        signature="; ".join(f"{scorer.name}: {scorer.signature}" for scorer in signatures) or None,
        clusters=len({record.item.cluster for record in records}),
        majority=_majority(records),
    )


def score_and_weight(info: MetricInfo, record: ItemRecord) -> tuple[float, float]:
    """An item's part of a metric: what is summed above the line and below it."""
    weight = 1.0 if info.denominator is None else record.values[info.denominator]
    return record.values[info.numerator], weight


def task_figure(task: Task, records: Sequence[ItemRecord], name: str) -> Figure:
    """One metric of these records, with its error, and where a guesser's would lie."""
    info = metric_info(name)
    clusters = _clusters(records)
    if name.startswith("evaluate:"):
        value = library_metric(name.removeprefix("evaluate:"), *_predictions(task, records))
        estimate = Estimate(value, None, None, None, len(records), len({r.item.cluster for r in records}))
    elif name == "macro_f1":
        # Labels that no item has are left out: they would count 0 for every model.
        label = {gold: i for i, gold in enumerate(sorted({record.item.gold or 0 for record in records}))}
        gold = [label[record.item.gold or 0] for record in records]
        said = [None if record.predicted is None else label.get(record.predicted) for record in records]
        statistics_NS = macro_f1_statistics(gold, said, len(label))
        estimate = estimate_corpus(statistics_NS, macro_f1, clusters)
    elif info.kind == "corpus":
        scorer = TextScore(name)
        statistics_NS = scorer.statistics([r.prediction for r in records], [_padded(task, r) for r in records])
        estimate = estimate_corpus(statistics_NS, scorer.score, clusters)
    else:
        parts = np.array([score_and_weight(info, record) for record in records])
        if info.kind == "mean":
            estimate = estimate_mean(parts[:, 0], clusters, binary=info.binary)
        else:
            estimate = estimate_ratio(parts[:, 0], parts[:, 1], clusters, transform=info.transform)
    chance = None
    if task.kind == "choice" and name in CHANCE:
        choices_N = [len(record.item.choices) for record in records]
        chance = chance_interval(choices_N, clusters, design_effect=estimate.design_effect)
    return figure(estimate, info, chance)


def _majority(records: Sequence[ItemRecord]) -> float | None:
    """The accuracy of always giving the commonest label, where all items have the same labels."""
    if not records[0].item.choices or len({record.item.choices for record in records}) > 1 or len(records) < 2:
        return None
    return Counter(record.item.gold for record in records).most_common(1)[0][1] / len(records)


def _clusters(records: Sequence[ItemRecord]) -> list[str] | None:
    """The items' clusters; None where each is its own, for which the estimators have exact forms."""
    names = [record.item.cluster for record in records]
    return names if len(set(names)) < len(names) else None


def _padded(task: Task, record: ItemRecord) -> list[str]:
    """References, as many for each item of the task: the first is repeated (it changes no match and no length)."""
    most = max(len(item.answer) for item in task.items)
    answer = record.item.answer
    return [*answer, *([answer[0]] * (most - len(answer)))]


def _predictions(task: Task, records: Sequence[ItemRecord]) -> tuple[list[Any], list[Any]]:
    """Predictions and references for a metric of the `evaluate` library: labels' numbers, or texts."""
    if task.kind == "choice":
        return [record.predicted for record in records], [record.item.gold for record in records]
    several = any(len(record.item.answer) > 1 for record in records)
    wanted = [list(record.item.answer) if several else record.item.answer[0] for record in records]
    return [record.prediction for record in records], wanted


def _by_source(task: Task, records: Sequence[ItemRecord]) -> dict[str, dict[str, Figure]]:
    """The sums and means of each source, where there is more than one."""
    groups: dict[str, list[ItemRecord]] = {}
    for record in records:
        groups.setdefault(record.item.source, []).append(record)
    if len(groups) < 2:
        return {}
    names = [name for name in task.metrics if name in METRICS and METRICS[name].kind != "corpus"]
    return {
        source: {name: task_figure(task, group, name) for name in names} for source, group in sorted(groups.items())
    }


def calibration(records: Sequence[ItemRecord]) -> dict[str, Any]:
    """Expected calibration error over BINS bins of equal width (Guo et al. 2017), Brier score, and the bins.

    The confidence is the probability of the choice taken, softmax over the choices; a bin holds low < p <= high.
    """
    confidence_N = np.array([record.probability for record in records], np.float64)
    correct_N = np.array([record.correct for record in records], np.float64)
    bin_N = np.clip(np.ceil(confidence_N * BINS - 1e-12).astype(int) - 1, 0, BINS - 1)
    bins, error = [], 0.0
    for index in range(BINS):
        chosen = bin_N == index
        items = int(chosen.sum())
        confidence = float(confidence_N[chosen].mean()) if items else None
        accuracy = float(correct_N[chosen].mean()) if items else None
        if confidence is not None and accuracy is not None:
            error += items / len(records) * abs(confidence - accuracy)
        bins.append(
            {"low": index / BINS, "high": (index + 1) / BINS, "confidence": confidence, "accuracy": accuracy,
             "items": items}
        )  # fmt: skip
    brier = float(np.mean([record.values["brier"] for record in records]))
    return {"ece": error, "brier": brier, "bins": bins}


def _contamination(task: Task, records: Sequence[ItemRecord]) -> dict[str, Any]:
    """Items found in the training text, and the primary metric without them; unchecked where nobody looked."""
    if any(record.contaminated is None for record in records):
        return {"checked": False, "items": None, "clean": None}
    clean = [record for record in records if not record.contaminated]
    found = len(records) - len(clean)
    return {
        "checked": True,
        "items": found,
        "clean": task_figure(task, clean, task.primary) if found and clean else None,
    }
