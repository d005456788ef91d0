"""The tasks of base against tuned: which metrics a fine-tuning is judged by, its items as evaluation's, their columns.

Two tasks of the same test items, in evaluation's own terms (evaluate/tasks.py): the answers that are written, by the
metrics of the kind, and `answers`, the bits per byte of the right answers given their prompts. What evaluation does not
know by itself (citations and refusals of legal answers, spans of tagging) is put beside its figures here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from smallm.core import yamltree
from smallm.core.config import FinetuneConfig
from smallm.core.errors import UserError
from smallm.core.files import sha256_json
from smallm.evaluate.metrics import metric_info
from smallm.evaluate.run_tasks import ItemRecord, TaskResult
from smallm.evaluate.summary import summarise_task
from smallm.evaluate.tasks import Item, Task, TaskSpec, parse_task
from smallm.evaluate.text_metrics import class_of
from smallm.finetune.asked import Asked, TestItem

# Kind -> the metrics of its written answers; the first one decides.
METRICS_OF: dict[str, tuple[str, ...]] = {
    "translation": ("bleu", "chrf", "exact_match"),
    "qa": ("exact_match", "f1"),
    "classification": ("acc", "macro_f1"),
    "instruct": ("f1", "chrf", "exact_match"),
    "statutes": ("citation", "quote_f1", "refusal_recall", "refusal_precision"),
    "tagging": ("span_f1", "exact_match"),
}
ANSWERS = "answers"
STATUTES = {"answerable", "citation", "quote", "law"}  # what reader: statutes writes, and its metrics read
GENERATE = "task: {name}\nkind: generate\ndata: test.jsonl\nprompt: '{{{{prompt}}}}'\nanswer: answer\n"
METRICS_LINE = "metrics: [bits_per_byte, token_perplexity]\n"
PERPLEXITY = "task: {name}\nkind: perplexity\ndata: test.jsonl\ntext: '{{{{text}}}}'\n" + METRICS_LINE


def kind_of(tune: FinetuneConfig, items: Sequence[TestItem]) -> str:
    """What the answers are judged as: the recipe's task, or what the examples themselves say (statutes, tagging)."""
    if items and all(isinstance(i.fields.get("answerable"), bool) and i.fields.keys() >= STATUTES for i in items):
        return "statutes"
    if tune.data and all(source.reader == "ner-tagging" for source in tune.data):
        return "tagging"
    return tune.task


def labels_of(tune: FinetuneConfig, manifest: Mapping[str, Any], items: Sequence[TestItem]) -> tuple[str, ...]:
    """The classes: the recipe's, else those of the training examples, else those of the test."""
    found = tune.labels or manifest.get("labels") or sorted({item.answer.strip() for item in items})
    return tuple(str(label) for label in found)


def written_task(
    kind: str, name: str, asked: Sequence[Asked], tune: FinetuneConfig, *, labels: Sequence[str] = (), end_ids: Any = ()
) -> Task:
    """The task of written answers. UserError: an answer that is none of the labels."""
    items = [
        Item(
            one.item.id,
            one.text,
            choices=tuple(labels),
            answer=(labels[gold] if (gold := _gold(one.item, labels)) is not None else one.item.answer.strip(),),
            gold=gold,
            cluster=one.item.cluster or one.item.id,
            source=one.item.source,
        )
        for one in asked
    ]
    spec = _spec(GENERATE, name, language=tune.language, max_new_tokens=tune.max_new_tokens, until=())
    spec = replace(spec, values={**spec.values, "choices": list(labels) or None, "metrics": METRICS_OF[kind]})
    facts = [kind, list(labels), tune.language, tune.max_new_tokens, list(end_ids)]
    version = sha256_json([*facts, [[*_facts(one), list(one.prompt_ids)] for one in asked]])[:8]
    # Those of other columns are put there when the columns are (`with_columns`).
    metrics = tuple(name for name in METRICS_OF[kind] if not metric_info(name).own) or ("f1",)
    return Task(name, version, "generate", tuple(items), metrics, metrics[0], spec)


def answers_task(asked: Sequence[Asked]) -> Task:
    """The task of the right answers' bits, given their prompts; bytes are the answers' alone."""
    items = [
        Item(
            one.item.id,
            one.whole,
            cluster=one.item.cluster or one.item.id,
            source=one.item.source,
            bytes=len(one.item.answer.encode("utf-8")),
            words=len(one.item.answer.split()),
        )
        for one in asked
    ]
    version = sha256_json([[*_facts(one), list(one.prompt_ids), list(one.answer_ids)] for one in asked])[:8]
    spec = _spec(PERPLEXITY, ANSWERS)
    metrics = spec.values["metrics"]
    return Task(ANSWERS, version, "perplexity", tuple(items), metrics, metrics[0], spec)


def _facts(one: Asked) -> list[Any]:
    return [one.item.id, one.item.answer, one.item.cluster, one.item.source]


def _spec(form: str, name: str, **values: Any) -> TaskSpec:
    spec = parse_task(yamltree.parse(form.format(name=name), "test.jsonl"))
    return replace(spec, values={**spec.values, **values})


def _gold(item: TestItem, labels: Sequence[str]) -> int | None:
    """The item's class: its answer, or (an answer that gives reasons too) the class that stands in it first."""
    if not labels:
        return None
    found = class_of(item.answer, labels)
    said = item.fields.get("label")
    if found is None or (said in labels and labels[found] != said):
        raise UserError(
            f"test item {item.id}: the answer {item.answer[:60]!r} is none of the classes ({', '.join(labels[:8])}"
            f"{', …' if len(labels) > 8 else ''}). Name them all in finetune.labels, or choose another task."
        )
    return found


# ---- what evaluation does not know ---------------------------------------------------------------------------------


def with_columns(kind: str, result: TaskResult, items: Mapping[str, TestItem]) -> TaskResult:
    """The result with the kind's own columns and metrics in its order; a metric without a denominator is left out."""
    columns = COLUMNS.get(kind)
    if columns is None:
        return result
    records = [
        replace(record, values={**record.values, **columns(record.prediction, items[record.item.id])}, correct=None)
        for record in result.records
    ]
    metrics = tuple(name for name in METRICS_OF[kind] if _has(name, records))
    task = replace(result.task, metrics=metrics, primary=metrics[0])
    return replace(result, task=task, records=tuple(records), summary=summarise_task(task, records))


def _has(name: str, records: Sequence[ItemRecord]) -> bool:
    """Whether the metric's denominator is anything: who never refuses has no precision of refusals."""
    info = metric_info(name)
    return info.denominator is None or sum(record.values[info.denominator] for record in records) > 0


def statutes_columns(prediction: str, item: TestItem) -> dict[str, float]:
    """Of an open-book legal answer; sums over items give evaluate/statutes_metrics.statutes_figures.

    The section and the quote are asked of answerable questions alone, refusing of all. `item_value` is 1 for the right
    section, and for a refusal of what the text does not tell.
    """
    from smallm.evaluate.statutes_metrics import score_answer

    score = score_answer(prediction, item.fields)
    known, refused = bool(item.fields["answerable"]), bool(score["refused"])
    return {
        "answerable": float(known),
        "cited": float(score["citation"]) * known,
        "quoted": float(score["f1"]) * known,
        "refused": float(refused),
        "refused_right": float(refused and not known),
        "unanswerable": float(not known),
        "item_value": float(score["citation"]),
    }


def tagging_columns(prediction: str, item: TestItem) -> dict[str, float]:
    """Of tagging by generation; sums over items give data/finetune_readers.tag_scores' micro F1."""
    from smallm.data.finetune_readers import parse_tags

    said, gold = Counter(parse_tags(prediction)), Counter(parse_tags(item.answer))
    right, both = sum((said & gold).values()), sum(said.values()) + sum(gold.values())
    return {
        "spans_twice_right": 2.0 * right,
        "spans_both": float(both),
        "item_value": 2 * right / both if both else 1.0,  # nothing to find, nothing said
    }


# What was written and what is right, to the columns that evaluation does not compute itself.
COLUMNS: dict[str, Callable[[str, TestItem], Mapping[str, float]]] = {
    "statutes": statutes_columns,
    "tagging": tagging_columns,
}
