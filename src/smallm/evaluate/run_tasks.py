"""A task on a model: requests to the scorer (or the cache), answers to item records, records to figures.

Rules are lm-eval's (0.4.13): `acc` takes the choice of the largest summed log-likelihood (the first of equal ones),
`acc_norm` that per character of the choice, and probabilities are the softmax over the choices. Summing up is
summary.py's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from smallm.core.errors import UserError
from smallm.evaluate.cache import CacheFile, ScoreCache, Value, prompt_key, request_key, text_key
from smallm.evaluate.contamination import Contamination
from smallm.evaluate.requests import TRUNCATED, Request, Score
from smallm.evaluate.scorer import Scorer
from smallm.evaluate.summary import Summary, summarise_task
from smallm.evaluate.tasks import Item, Task
from smallm.evaluate.text_metrics import TextScore, exact_match, found_label, word_f1

# So many requests are scored between two writes of the cache: what an interrupted run keeps.
BLOCK = 8192
Payload = TypeVar("Payload")


@dataclass(frozen=True)
class ItemRecord:
    """An item and what the model made of it. `values`: its figures by column; `predicted`: index of its choice."""

    item: Item
    logprobs: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    prediction: str = ""
    predicted: int | None = None
    values: dict[str, float] = field(default_factory=dict)
    correct: bool | None = None
    probability: float | None = None
    marks: tuple[str, ...] = ()
    contaminated: bool | None = None


@dataclass(frozen=True)
class TaskResult:
    """A task's records and figures; `cached` items needed no scoring."""

    task: Task
    records: tuple[ItemRecord, ...]
    summary: Summary
    seconds: float
    cached: int


def run_task(
    task: Task,
    scorer: Scorer,
    cache: ScoreCache | None = None,
    *,
    contamination: Contamination | None = None,
    allow_remote_code: bool = False,
) -> TaskResult:
    """Score all items of a task. UserError: a score that is no number, a metric that cannot be had.

    `contamination` None: the training data was not checked. `allow_remote_code` lets `evaluate:NAME` metrics run code
    of the Hub.
    """
    for name in task.metrics:
        if name.startswith("evaluate:") and not allow_remote_code:
            raise task.spec.error("metrics", f"{name} runs code of the Hub: allow it with --allow-remote-code.")
    began = time.monotonic()
    file = cache.open(scorer, task.version) if cache else None
    make = {"choice": _choice, "continuation": _continuation, "generate": _generate, "perplexity": _perplexity}
    records, cached = make[task.kind](task, scorer, file)
    if contamination is not None:
        hits = contamination.items(task.name)
        records = [replace(r, contaminated=r.item.id.split("-")[0] in hits or r.item.id in hits) for r in records]
    summary = summarise_task(task, records)
    return TaskResult(task, tuple(records), summary, time.monotonic() - began, cached)


def context_of(task: Task, scorer: Scorer, prompt: str) -> tuple[str, str]:
    """What the model reads before an answer, and the delimiter between: description, examples, prompt.

    In chat form the template ends the context, so that nothing is put between (as lm-eval does).
    """
    spec = task.spec
    delimiter, description = spec.values["target_delimiter"], spec.values["description"] or ""
    if is_chat(task) and prompt:
        messages = [{"role": "system", "content": description}] if description else []
        for asked, answer in task.shots:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        return scorer.chat([*messages, {"role": "user", "content": prompt}]), ""
    return prefix_of(task) + prompt, delimiter


def prefix_of(task: Task) -> str:
    """Description and examples as plain text: the same before every prompt of the task."""
    values = task.spec.values
    delimiter, after = values["target_delimiter"], values["shot_delimiter"]
    return (values["description"] or "") + "".join(f"{a}{delimiter}{b}{after}" for a, b in task.shots)


def is_chat(task: Task) -> bool:
    """Whether prompts go through the chat template: contexts that a continuation follows are no messages."""
    return bool(task.spec.values["chat"]) and task.spec.values["contexts"] is None


def requests_of(task: Task, scorer: Scorer) -> list[list[Request]]:
    """The requests of each item: one a choice (or context)."""
    prefix, wanted = prefix_of(task), []
    for item in task.items:
        if item.continuation:
            follows = task.spec.values["target_delimiter"] + item.continuation
            wanted.append([Request(prefix + context, follows) for context in item.choices])
        else:
            context, delimiter = context_of(task, scorer, item.prompt)
            wanted.append([Request(context, delimiter + choice) for choice in item.choices])
    return wanted


# ---- the kinds of task ---------------------------------------------------------------------------------------------


def _choice(task: Task, scorer: Scorer, file: CacheFile | None) -> tuple[list[ItemRecord], int]:
    rows, cached = _scores(task, scorer, file)
    return [_chosen(item, row) for item, row in zip(task.items, rows, strict=True)], cached


def _chosen(item: Item, scores: Sequence[Score]) -> ItemRecord:
    """The record of a choice."""
    logprobs = [score.logprob for score in scores]
    # As lm-eval measures them: the choice alone, without the delimiter. Of contexts that is the context's length.
    characters = [p / len(c) for p, c in zip(logprobs, item.choices, strict=True)]
    by_bytes = [p / len(c.encode("utf-8")) for p, c in zip(logprobs, item.choices, strict=True)]
    top = max(logprobs)
    weights = [math.exp(p - top) for p in logprobs]
    probabilities = [w / sum(weights) for w in weights]
    said = logprobs.index(top)
    right = said == item.gold
    return ItemRecord(
        item,
        tuple(logprobs),
        tuple(score.tokens for score in scores),
        prediction=item.choices[said],
        predicted=said,
        values={
            "acc": float(right),
            "acc_norm": float(characters.index(max(characters)) == item.gold),
            "acc_bytes": float(by_bytes.index(max(by_bytes)) == item.gold),
            "brier": sum((p - (i == item.gold)) ** 2 for i, p in enumerate(probabilities)),
        },
        correct=right,
        probability=probabilities[said],
        marks=_marks(scores),
    )


def _continuation(task: Task, scorer: Scorer, file: CacheFile | None) -> tuple[list[ItemRecord], int]:
    rows, cached = _scores(task, scorer, file)
    records = []
    for item, (score,) in zip(task.items, rows, strict=True):
        values = {"acc": float(score.greedy), "nats": -score.logprob, "scored": float(score.tokens)}
        said = item.choices[0] if score.greedy else ""
        records.append(
            ItemRecord(
                item, (score.logprob,), (score.tokens,), said,
                values=values, correct=score.greedy, marks=_marks([score]),
            )
        )  # fmt: skip
    return records, cached


def _scores(task: Task, scorer: Scorer, file: CacheFile | None) -> tuple[list[list[Score]], int]:
    """The scores of each item's requests, and how many items were known."""
    wanted = requests_of(task, scorer)
    keyed = [[(request_key(request), request) for request in requests] for requests in wanted]
    values, known = _answers(file, keyed, scorer.loglikelihoods)
    rows = []
    for item, keys in zip(task.items, keyed, strict=True):
        rows.append([_number(task, item, values[key]) for key, _ in keys])
    return rows, known


def _perplexity(task: Task, scorer: Scorer, file: CacheFile | None) -> tuple[list[ItemRecord], int]:
    keyed = [[(text_key(item.prompt), item.prompt)] for item in task.items]
    values, known = _answers(file, keyed, scorer.rolling)
    records = []
    for item, ((key, _),) in zip(task.items, keyed, strict=True):
        score = _number(task, item, values[key])
        figures = {
            "nats": -score.logprob,
            "bits": -score.logprob / math.log(2),
            "bytes": float(item.bytes),
            "words": float(item.words),
            "scored": float(score.tokens),
        }
        records.append(ItemRecord(item, (score.logprob,), (score.tokens,), values=figures, marks=_marks([score])))
    return records, known


def _generate(task: Task, scorer: Scorer, file: CacheFile | None) -> tuple[list[ItemRecord], int]:
    values = task.spec.values
    until, limit = values["until"], values["max_new_tokens"]
    prompts = [context_of(task, scorer, item.prompt)[0] for item in task.items]
    keyed = [[(prompt_key(prompt, until, limit), prompt)] for prompt in prompts]

    def write(asked: Sequence[str]) -> list[str]:
        return scorer.generate(asked, until=until, max_new_tokens=limit)

    found, known = _answers(file, keyed, write)
    scorers = [TextScore(name) for name in task.metrics if name in ("bleu", "chrf")]
    language = values["language"]
    cut = _cut(scorer, prompts, limit)
    records = []
    for item, prompt, ((key, _),) in zip(task.items, prompts, keyed, strict=True):
        answer = found[key]
        if not isinstance(answer, str):
            raise UserError(f"task {task.name}, item {item.id}: the cache has a score where a text belongs.")
        record = _written(item, answer.strip(), scorers, language)
        records.append(replace(record, marks=(TRUNCATED,)) if prompt in cut else record)
    return records, known


def _cut(scorer: Scorer, prompts: Sequence[str], new_tokens: int) -> set[str]:
    """The prompts that leave too little room for an answer, so that they lost their beginning."""
    room = int(getattr(scorer, "room", 0) or scorer.max_length) - new_tokens
    # A token is at least a byte: most prompts need no tokenizer to be seen to fit.
    long = [prompt for prompt in dict.fromkeys(prompts) if len(prompt.encode("utf-8")) >= room]
    if not long or scorer.tokenizer is None:
        return set()
    return {prompt for prompt in long if len(scorer.tokenizer.encode(prompt)) > room}


def _written(item: Item, answer: str, scorers: Sequence[TextScore], language: str) -> ItemRecord:
    """The record of a generation."""
    values = {"exact_match": exact_match(answer, item.answer, language), "f1": word_f1(answer, item.answer, language)}
    values |= {scorer.name: scorer.of_item(answer, item.answer) for scorer in scorers}
    predicted = None
    correct = values["exact_match"] == 1
    if item.choices:
        predicted = found_label(answer, item.choices)
        correct = predicted == item.gold
        values["acc"] = float(correct)
    return ItemRecord(item, prediction=answer, predicted=predicted, values=values, correct=correct)


# ---- the cache between ---------------------------------------------------------------------------------------------


def _answers(
    file: CacheFile | None,
    keyed: Sequence[Sequence[tuple[str, Payload]]],
    compute: Callable[[list[Payload]], Sequence[Value]],
) -> tuple[Mapping[str, Value], int]:
    """The value of every key, from the file or computed (each once) and kept; and how many items needed nothing."""
    wanted: dict[str, Payload] = {key: payload for keys in keyed for key, payload in keys}
    values: dict[str, Value] = {}
    for key in wanted if file else ():
        known = file.get(key) if file else None
        if known is not None:
            values[key] = known
    known_items = sum(all(key in values for key, _ in keys) for keys in keyed)
    missing = [key for key in wanted if key not in values]
    for start in range(0, len(missing), BLOCK):
        block = missing[start : start + BLOCK]
        found = dict(zip(block, compute([wanted[key] for key in block]), strict=True))
        values |= found
        if file:
            # What is no number must not come back from the cache when its cause was repaired.
            file.add({k: v for k, v in found.items() if isinstance(v, str) or math.isfinite(v.logprob)})
            file.save()
    return values, known_items


def _number(task: Task, item: Item, value: Any) -> Score:
    if not isinstance(value, Score):
        raise UserError(f"task {task.name}, item {item.id}: the cache has a text where a score belongs.")
    if not math.isfinite(value.logprob):
        raise UserError(
            f"task {task.name}, item {item.id} ({item.prompt[:50]!r}): the model's score is {value.logprob}. Its "
            "weights are damaged, or its numbers overflow: try --dtype float32."
        )
    return value


def _marks(scores: Sequence[Score]) -> tuple[str, ...]:
    """What was odd about any of an item's scores, each once."""
    return tuple(sorted({mark for score in scores for mark in score.marks}))
