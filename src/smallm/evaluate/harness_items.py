"""lm-eval's samples as our items and records: one a document, with lm-eval's own metric values in its columns.

An item is what the model was really given: its prompt holds the few-shot examples. Where a task's documents share a
passage, they are one cluster. Figures are summary.py's, of the metrics that we know; metrics of lm-eval that we do not
know stay as columns of the items and in lm-eval's own results.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from smallm.core.console import warn
from smallm.core.files import sha256_bytes, sha256_json
from smallm.core.yamltree import Origin, Tree
from smallm.evaluate.metrics import METRICS
from smallm.evaluate.requests import Score
from smallm.evaluate.run_tasks import ItemRecord, TaskResult
from smallm.evaluate.summary import summarise_task
from smallm.evaluate.task_items import item_facts
from smallm.evaluate.task_keys import KEYS, Kind
from smallm.evaluate.tasks import DEFAULT_METRICS, Item, Task, TaskSpec, item_id
from smallm.evaluate.text_metrics import TextScore, exact_match, word_f1

KINDS: dict[str, Kind] = {
    "multiple_choice": "choice",
    "loglikelihood": "continuation",
    "loglikelihood_rolling": "perplexity",
    "generate_until": "generate",
}
# The metric that comparisons use, where a task has it; else the first of its list.
PRIMARY = ("acc", "exact_match", "bits_per_byte")
# Fields of a document that hold what several questions are about.
PASSAGES = ("passage", "article", "paragraph", "story", "context", "document", "premise", "support")
SHORTEST_PASSAGE = 60  # characters; "Yes." is no passage
TEXT_SCORES = ("bleu", "chrf")
# (context, continuation) or (text,) -> its Score.
Scores = Mapping[tuple[str, ...], Score]
# A row of lm-eval's samples: one document under one filter.
Row = Mapping[str, Any]


def task_results(
    samples: Mapping[str, Sequence[Row]], tasks: Mapping[str, Any], scores: Scores, seconds: float
) -> list[TaskResult]:
    """A result for each task, in the order of `samples`; `seconds` are shared out by requests."""
    asked = {name: sum(len(row["arguments"]) for row in rows) for name, rows in samples.items()}
    share = seconds / max(1, sum(asked.values()))
    made = [_task_result(name, rows, tasks[name], scores, share * asked[name]) for name, rows in samples.items()]
    return [result for result in made if result is not None]


def _task_result(name: str, rows: Sequence[Row], task: Any, scores: Scores, seconds: float) -> TaskResult | None:
    """None, said aloud, where lm-eval's own figures are all that can be told: text without references."""
    first = rows[0]["filter"]
    main = sorted((row for row in rows if row["filter"] == first), key=lambda row: row["doc_id"])
    kind = _kind(task, main[0])
    make = {"choice": _choice, "continuation": _continuation, "perplexity": _perplexity, "generate": _generate}[kind]
    values = _values(main)
    records = [
        replace(record, values=record.values | value)
        for record, value in zip((make(row, task, scores) for row in main), values, strict=True)
    ]
    records = [_judged(kind, record, value) for record, value in zip(records, values, strict=True)]
    records = _with_filters(records, main, [row for row in rows if row["filter"] != first])
    records = _named(records, _clusters(main))
    metrics = _metrics(kind, main[0]["metrics"], records)
    if not metrics:
        named = ", ".join(main[0]["metrics"])
        warn(f"{name}: lm-eval's own figures only; of its metrics ({named}) none is one that smallm knows")
        return None
    primary = next((metric for metric in PRIMARY if metric in metrics), metrics[0])
    items = tuple(record.item for record in records)
    version = sha256_json([kind, str(task.VERSION), [item_facts(item) for item in items]])[:8]
    defaults = {key: row.default for key, row in KEYS.items()}
    # Items hold the rendered text: no delimiter, no examples come to it.
    values_of_spec = defaults | {"target_delimiter": "", "about": f"lm-eval's task {name}, version {task.VERSION}"}
    spec = TaskSpec(name, kind, values_of_spec, Tree(Origin("lm-eval")))
    made = Task(name, version, kind, items, (primary, *(m for m in metrics if m != primary)), primary, spec)
    return TaskResult(made, tuple(records), summarise_task(made, records), seconds, 0)


def _kind(task: Any, row: Row) -> Kind:
    """lm-eval's output type; old Python tasks give several log-likelihoods of one document for a choice."""
    kind = KINDS[task.OUTPUT_TYPE]
    return "choice" if kind == "continuation" and len(row["arguments"]) > 1 else kind


# ---- records of each kind ------------------------------------------------------------------------------------------


def _choice(row: Row, task: Any, scores: Scores) -> ItemRecord:
    """Contexts that one continuation follows are the choices where the contexts differ, else the continuations."""
    asked = [tuple(arguments[:2]) for arguments in row["arguments"]]
    stated = _stated_choices(task, row)
    if stated and len(asked) == 2 * len(stated):  # acc_mutual_info asks for each choice alone as well
        asked = asked[: len(stated)]
    contexts, continuations = [pair[0] for pair in asked], [pair[1] for pair in asked]
    gold = _gold(row, task, stated or continuations)
    if len(set(contexts)) == 1:
        choices = stated if stated and len(stated) == len(asked) else continuations
        item = _item(contexts[0], choices, [choices[gold]] if gold is not None else [], gold)
    elif len(set(continuations)) == 1:
        item = _item("", contexts, [contexts[gold]] if gold is not None else [], gold, continuations[0])
    else:
        choices = [context + continuation for context, continuation in asked]
        item = _item("", choices, [choices[gold]] if gold is not None else [], gold)
    logprobs = [float(answers[0][0]) for answers in row["resps"][: len(asked)]]
    top = max(logprobs)
    said = logprobs.index(top)
    weights = [math.exp(p - top) for p in logprobs]
    found = [score for pair in asked if (score := scores.get(pair))]
    probabilities = [w / sum(weights) for w in weights]
    return ItemRecord(
        item,
        tuple(logprobs),
        tuple(score.tokens for score in found),
        prediction=item.choices[said],
        predicted=said,
        values={
            "acc": float(said == gold),
            "brier": sum((p - (i == gold)) ** 2 for i, p in enumerate(probabilities)),
        },
        probability=probabilities[said],
        marks=_marks(found),
    )


def _continuation(row: Row, task: Any, scores: Scores) -> ItemRecord:
    context, continuation = row["arguments"][0][:2]
    logprob, greedy = row["resps"][0][0]
    score = scores.get((context, continuation))
    return ItemRecord(
        _item(context, [continuation], [continuation], 0),
        (float(logprob),),
        (score.tokens,) if score else (),
        prediction=continuation if greedy else "",
        values={"acc": float(greedy), "nats": -float(logprob), "scored": float(score.tokens if score else 0)},
        marks=score.marks if score else (),
    )


def _perplexity(row: Row, task: Any, scores: Scores) -> ItemRecord:
    """Bytes and words as the task counts them: WikiText's are of the text before it was detokenised."""
    (text,) = row["arguments"][0][:1]
    score, logprob = scores.get((text,)), float(row["resps"][0][0])
    counted = {name: row[name][1] for name in ("bits_per_byte", "byte_perplexity", "word_perplexity") if name in row}
    size = int(counted.get("bits_per_byte", counted.get("byte_perplexity", len(text.encode("utf-8", "replace")))))
    words = int(counted.get("word_perplexity", task.count_words(text)))
    return ItemRecord(
        replace(_item(text, [], [], None), bytes=size, words=words),
        (logprob,),
        (score.tokens,) if score else (),
        values={
            "nats": -logprob,
            "bits": -logprob / math.log(2),
            "bytes": float(size),
            "words": float(words),
            "scored": float(score.tokens if score else 0),
        },
        marks=score.marks if score else (),
    )


def _generate(row: Row, task: Any, scores: Scores) -> ItemRecord:
    """The answer as the task's filter left it."""
    prompt = row["arguments"][0][0]
    filtered = row["filtered_resps"][0]
    said = filtered if isinstance(filtered, str) else row["resps"][0][0]
    target, choices = row["target"], _stated_choices(task, row) or []
    if choices and isinstance(target, int) and target < len(choices):
        target = choices[target]
    answers = [str(answer) for answer in (target if isinstance(target, (list, tuple)) else [target]) if answer != ""]
    values: dict[str, float] = {}
    if answers:
        values = {"exact_match": exact_match(said, answers), "f1": word_f1(said, answers)}
        values |= {name: TextScore(name).of_item(said, answers) for name in TEXT_SCORES if name in row}
    return ItemRecord(_item(prompt, [], answers, None), prediction=said, values=values)


def _item(prompt: str, choices: Sequence[str], answer: Sequence[str], gold: int | None, follows: str = "") -> Item:
    ident = item_id(prompt, choices, answer, follows)
    return Item(ident, prompt, tuple(choices), tuple(answer), gold, ident, continuation=follows)


def _stated_choices(task: Any, row: Row) -> list[str] | None:
    """The choices as the task states them, without the delimiter; None where it does not."""
    if getattr(getattr(task, "config", None), "doc_to_choice", None) is None:
        return None
    return [str(choice) for choice in task.doc_to_choice(row["doc"])]


def _gold(row: Row, task: Any, choices: Sequence[str]) -> int | None:
    """The index of the right choice, the first of several; None where the task does not tell (hidden labels)."""
    told = task.doc_to_text(row["doc"]) if getattr(task, "multiple_input", 0) else row["target"]
    for gold in told if isinstance(told, (list, tuple)) else [told]:
        if isinstance(gold, int) and 0 <= gold < len(choices):
            return int(gold)
        if isinstance(gold, str) and gold in choices:
            return choices.index(gold)
        if isinstance(gold, str) and gold.isdigit() and int(gold) < len(choices):
            return int(gold)
    return None


def _marks(found: Iterable[Score]) -> tuple[str, ...]:
    return tuple(sorted({mark for score in found for mark in score.marks}))


# ---- figures of lm-eval --------------------------------------------------------------------------------------------


def _values(rows: Sequence[Row]) -> list[dict[str, float]]:
    """lm-eval's numbers of each row. A 0-or-1 metric of ours that a task fills with shares is another one: renamed."""
    values = [{metric: float(row[metric]) for metric in row["metrics"] if _is_number(row.get(metric))} for row in rows]
    shares = {
        metric
        for value in values
        for metric, number in value.items()
        if metric in METRICS and METRICS[metric].binary and number not in (0.0, 1.0)
    }
    return [{f"{m}, lm-eval's" if m in shares else m: number for m, number in value.items()} for value in values]


def _is_number(value: Any) -> bool:
    if isinstance(value, (str, list, tuple, dict, set)) or value is None:
        return False
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _judged(kind: Kind, record: ItemRecord, theirs: Mapping[str, float]) -> ItemRecord:
    """With `correct`: by the task's own verdict where it has one."""
    if kind == "perplexity":
        return record
    names = [name for name in ("acc", "exact_match") if name in theirs] or [
        name for name in ("acc", "exact_match") if name in record.values
    ]
    return replace(record, correct=record.values[names[0]] == 1.0) if names else record


def _with_filters(records: list[ItemRecord], main: Sequence[Row], others: Sequence[Row]) -> list[ItemRecord]:
    """The values under a task's further filters, as columns `metric,filter`."""
    more: dict[int, dict[str, float]] = {}
    for row, value in zip(others, _values(others), strict=True):
        named = {f"{metric},{row['filter']}": number for metric, number in value.items()}
        more.setdefault(row["doc_id"], {}).update(named)
    return [
        replace(record, values=record.values | more.get(row["doc_id"], {}))
        for record, row in zip(records, main, strict=True)
    ]


def _metrics(kind: Kind, named: Sequence[str], records: Sequence[ItemRecord]) -> list[str]:
    """The task's metrics that we have figures for; where there are none, the first of the kind's own that fits."""

    def fits(name: str) -> bool:
        info = METRICS.get(name)
        if info is None or kind not in info.kinds or name == "macro_f1":
            return False
        needed = [column for column in (info.numerator, info.denominator) if column]
        return all(column in record.values for record in records for column in needed)

    found = [name for name in dict.fromkeys(named) if fits(name)]
    return found or [name for name in DEFAULT_METRICS[kind] if fits(name)][:1]


# ---- which items belong together -----------------------------------------------------------------------------------


def _clusters(rows: Sequence[Row]) -> list[str | None]:
    """The hash of the passage that a document shares with another; None for one that stands alone."""
    documents = [row["doc"] if isinstance(row["doc"], Mapping) else {} for row in rows]
    for field in PASSAGES:
        texts = [document.get(field) for document in documents]
        counts = Counter(t for t in texts if isinstance(t, str) and len(t) >= SHORTEST_PASSAGE)
        if any(count > 1 for count in counts.values()):
            return [sha256_bytes(t.encode())[:16] if isinstance(t, str) and counts[t] > 1 else None for t in texts]
    return [None] * len(documents)


def _named(records: Sequence[ItemRecord], clusters: Sequence[str | None]) -> list[ItemRecord]:
    """With their clusters, and -2, -3, … on the ids of exact repeats."""
    seen: Counter[str] = Counter()
    named = []
    for record, cluster in zip(records, clusters, strict=True):
        seen[record.item.id] += 1
        repeat = seen[record.item.id]
        ident = record.item.id if repeat == 1 else f"{record.item.id}-{repeat}"
        named.append(replace(record, item=replace(record.item, id=ident, cluster=cluster or ident)))
    return named
