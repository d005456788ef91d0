"""From a task's records to its items: templates filled in, answers resolved, mistakes told by record, samples drawn.

`load_task` gives the same items in the same order for every model. Examples of `shots` come from the top of `train`,
else from the items that `test_share` leaves, else from items held back (those with the largest ids); never from an item
that is asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smallm.core.console import warn
from smallm.core.errors import UserError
from smallm.core.files import sha256_json
from smallm.evaluate.task_data import data_dirs, read_records
from smallm.evaluate.task_files import Record
from smallm.evaluate.tasks import Item, Task, TaskSpec, drawn, item_id
from smallm.evaluate.templates import Getter, as_text, condition, getter

# Keys that change no score of an item: the version does not depend on them.
FOR_PEOPLE = frozenset(
    {"task", "about", "licence", "origin", "metrics", "data", "hub", "train", "items", "kind", "cheap"}
)
# A record, its cluster ("" = alone) and its source, to its items.
Maker = Callable[[Record, str, str], Iterable[Item]]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def load_task(spec: TaskSpec, dirs: Sequence[Path] | None = None) -> Task:
    """Read, fill in and check all items of a task. UserError with file and line; MissingData: not on this machine."""
    dirs = data_dirs() if dirs is None else dirs
    make = _maker(spec)
    records = _chosen(spec, _mapped(spec, read_records(spec, "data", dirs)))
    found = [item for record in records for item in make(record)]
    if not found:
        why = " Is `where` ever true?" if spec.values["where"] is not None else ""
        raise spec.error("task", f"no items in its data.{why}")
    items = _distinct(found)
    rest: list[Item] = []
    if spec.test_share is not None:
        items, rest = _split(items, spec.test_share)
        if not items:
            raise spec.error("test_share", f"test_share {spec.test_share} leaves none of {len(found)} items.")
    shots, items = _shots(spec, items, rest, make, dirs)
    items = _drawn(spec, items)
    _warn_of_double_space(spec, items[0])
    definition = {key: value for key, value in spec.values.items() if key not in FOR_PEOPLE}
    version = sha256_json([spec.kind, definition, [item_facts(item) for item in items], shots])[:8]
    metrics = spec.values["metrics"]
    return Task(spec.name, version, spec.kind, tuple(items), metrics, metrics[0], spec, shots)


def item_facts(item: Item) -> list[Any]:
    """What a score of the item depends on, and its figures."""
    return [item.prompt, item.choices, item.answer, item.gold, item.continuation, item.cluster, item.source]


# ---- from records to items -----------------------------------------------------------------------------------------


def _mapped(spec: TaskSpec, records: Iterable[Record]) -> Iterator[Record]:
    """Records of the Hub under the names that the task's own files use (`hub.fields`)."""
    fields = spec.hub["fields"] if spec.hub else {}
    getters = {name: getter(spec, "hub", text if "{" in text else f"{{{{{text}}}}}") for name, text in fields.items()}
    for record in records:
        if getters and "_file" not in record.fields:
            yield Record({**record.fields, **{name: get(record) for name, get in getters.items()}}, record.where)
        else:
            yield record


def _chosen(spec: TaskSpec, records: Iterator[Record]) -> Iterator[Record]:
    if spec.values["where"] is None:
        return records
    return filter(condition(spec), records)


def _maker(spec: TaskSpec) -> Callable[[Record], Iterable[Item]]:
    """The function from a record to its items: one, or (perplexity) one a window."""
    cluster_of, source_of = _text_of(spec, "cluster"), _text_of(spec, "source")
    make = {"choice": _choice, "continuation": _continuation, "generate": _generate, "perplexity": _texts}[spec.kind](
        spec
    )
    # A cluster field with nothing in it: the item stands alone.
    return lambda record: make(record, cluster_of(record), source_of(record))


def _text_of(spec: TaskSpec, key: str) -> Callable[[Record], str]:
    """The text of `key`; "" where the task does not have it."""
    if spec.values[key] is None:
        return lambda record: ""
    get = getter(spec, key)
    return lambda record: as_text(spec, key, record, get(record))


def _choice(spec: TaskSpec) -> Maker:
    key = "choices" if spec.choices is not None else "contexts"
    prompt, continuation, answer = _text_of(spec, "prompt"), _text_of(spec, "continuation"), getter(spec, "answer")
    choices_of = _choices(spec, key)

    def make(record: Record, cluster: str, source: str) -> list[Item]:
        question, follows, choices = prompt(record), continuation(record), choices_of(record)
        if key == "contexts" and not follows.strip():
            raise _refused(spec, "continuation", record, "the continuation is empty: there is nothing to score.")
        gold = _gold(spec, record, answer(record), choices)
        ident = item_id(question, choices, [choices[gold]], follows)
        answers = (choices[gold],)
        return [Item(ident, question, choices, answers, gold, cluster or ident, source, continuation=follows)]

    return make


def _choices(spec: TaskSpec, key: str) -> Callable[[Record], tuple[str, ...]]:
    given = spec.values[key]
    refuse = spec.duplicates == "refuse"
    fixed = tuple(map(str, given)) if isinstance(given, list) and not any("{" in str(text) for text in given) else None
    seen: list[bool] = []
    getters: list[Getter] | Getter
    getters = [getter(spec, key, text) for text in given] if isinstance(given, list) else getter(spec, key)

    def choices(record: Record) -> tuple[str, ...]:
        if fixed is None or not seen:
            seen.append(True)
            return checked(record)
        return fixed  # the same for every record, and checked with the first

    def checked(record: Record) -> tuple[str, ...]:
        values = [get(record) for get in getters] if isinstance(getters, list) else getters(record)
        if not isinstance(values, (list, tuple)):
            raise _refused(spec, key, record, f"`{key}` is {str(values)[:40]!r}, not a list.")
        texts = tuple(as_text(spec, key, record, value) for value in values)
        if len(texts) < 2:
            raise _refused(spec, key, record, f"{len(texts)} of `{key}`: a choice needs at least two.")
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise _refused(spec, key, record, f"choice {number} is empty: there is nothing to score.")
        if len(set(texts)) < len(texts) and refuse:
            twice = [text for text, count in Counter(texts).items() if count > 1]
            raise _refused(
                spec, key, record,
                f"two of `{key}` are equal ({twice[0][:60]!r}), so no score can tell them apart. Repair the record, "
                "leave it out with `where`, or say `duplicates: keep`.",
            )  # fmt: skip
        return texts

    return choices


def _gold(spec: TaskSpec, record: Record, value: Any, choices: tuple[str, ...]) -> int:
    """The index that an answer means: a number is an index; a text is a choice's text, its letter, or a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < len(choices):
            return value
        raise _refused(spec, "answer", record, f"the answer is {value}, outside the choices (0 to {len(choices) - 1}).")
    if isinstance(value, str):
        for candidate in (value, value.strip()):
            if candidate in choices:
                return choices.index(candidate)
        word = value.strip()
        if len(word) == 1 and word.upper() in LETTERS[: len(choices)]:
            return LETTERS.index(word.upper())
        if re.fullmatch(r"\d+", word) and int(word) < len(choices):
            return int(word)
    shown = ", ".join(repr(choice[:30]) for choice in choices[:6]) + (", …" if len(choices) > 6 else "")
    raise _refused(
        spec, "answer", record,
        f"the answer is {str(value)[:60]!r}, outside the choices ({shown}). It must be an index from 0, a letter from "
        "A, or the text of a choice.",
    )  # fmt: skip


def _continuation(spec: TaskSpec) -> Maker:
    prompt, continuation = _text_of(spec, "prompt"), _text_of(spec, "continuation")

    def make(record: Record, cluster: str, source: str) -> list[Item]:
        context, target = prompt(record), continuation(record)
        if not target.strip():
            raise _refused(spec, "continuation", record, "the continuation is empty: there is nothing to score.")
        ident = item_id(context, [target], [target])
        return [Item(ident, context, (target,), (target,), 0, cluster or ident, source)]

    return make


def _generate(spec: TaskSpec) -> Maker:
    prompt, answer = _text_of(spec, "prompt"), getter(spec, "answer")
    several = isinstance(spec.answer, list)
    getters = [getter(spec, "answer", text) for text in spec.answer] if several else [answer]
    labels_of = _choices(spec, "choices") if spec.choices is not None else lambda record: ()

    def make(record: Record, cluster: str, source: str) -> list[Item]:
        question, labels = prompt(record), labels_of(record)
        values = [value for get in getters for value in _listed(get(record))]
        accepted = tuple(dict.fromkeys(as_text(spec, "answer", record, value) for value in values))
        if not question.strip():
            raise _refused(spec, "prompt", record, "the prompt is empty.")
        if not accepted or not all(text.strip() for text in accepted):
            raise _refused(spec, "answer", record, "an accepted answer is empty.")
        gold = _gold(spec, record, values[0], labels) if labels else None
        accepted = (labels[gold],) if gold is not None else accepted
        ident = item_id(question, labels, accepted)
        return [Item(ident, question, labels, accepted, gold, cluster or ident, source)]

    return make


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _texts(spec: TaskSpec) -> Maker:
    get = _text_of(spec, "text")

    def make(record: Record, cluster: str, source: str) -> Iterator[Item]:
        text = get(record)
        if not text.strip():
            raise _refused(spec, "text", record, "the text is empty: there is nothing to score.")
        for window in windows(text, spec.chunk) if spec.chunk else [text]:
            ident, size = item_id(window, (), ()), len(window.encode("utf-8"))
            yield Item(ident, window, cluster=cluster or ident, source=source, bytes=size, words=count_words(window))

    return make


def count_words(text: str) -> int:
    """As lm-eval counts them, len(re.split(r"\\s+", text)): blanks at an end make a word more."""
    return len(text.split()) + text[:1].isspace() + text[-1:].isspace() if text.strip() else len(re.split(r"\s+", text))


def windows(text: str, size: int) -> Iterator[str]:
    """`text` in pieces of at most `size` characters, cut at whitespace where there is some; blank ones left out."""
    start = 0
    while start < len(text):
        end = min(start + size, len(text))
        if end < len(text):
            blank = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = blank if blank > start else end
        if piece := text[start:end].strip():
            yield piece
        start = end + 1 if text[end : end + 1].isspace() else end


def _refused(spec: TaskSpec, key: str, record: Record, text: str) -> UserError:
    return UserError(f"{record.where}: task {spec.name} ({spec.where(key)}): {text}")


# ---- which items, which examples -----------------------------------------------------------------------------------


def _distinct(items: list[Item]) -> list[Item]:
    """The items with -2, -3, … on the ids of exact repeats."""
    seen: Counter[str] = Counter()
    result = []
    for item in items:
        seen[item.id] += 1
        repeat = seen[item.id]
        if repeat > 1:
            name = f"{item.id}-{repeat}"
            item = replace(item, id=name, cluster=name if item.cluster == item.id else item.cluster)
        result.append(item)
    return result


def _drawn(spec: TaskSpec, items: list[Item]) -> list[Item]:
    """`items_per_source` of each source, then `items` of all."""
    if spec.items_per_source is not None:
        chosen: set[str] = set()
        for source in {item.source for item in items}:
            group = [item for item in items if item.source == source]
            chosen |= {item.id for item in drawn(group, spec.items_per_source)}
        items = [item for item in items if item.id in chosen]
    return drawn(items, spec.items) if spec.items is not None and spec.synth is None else items


def _split(items: list[Item], share: float) -> tuple[list[Item], list[Item]]:
    """(test, rest) by the id's hash: an item's side does not depend on what else there is; repeats share theirs."""
    test = [int(item.id[:8], 16) / 2**32 < share for item in items]
    return (
        [item for item, chosen in zip(items, test, strict=True) if chosen],
        [item for item, chosen in zip(items, test, strict=True) if not chosen],
    )


def _shots(
    spec: TaskSpec, items: list[Item], rest: list[Item], make: Callable[[Record], Iterable[Item]], dirs: Sequence[Path]
) -> tuple[tuple[tuple[str, str], ...], list[Item]]:
    """The examples as (prompt, answer), and the items that are left to ask."""
    count = spec.shots or 0
    if not count:
        return (), items
    asked = {item.id.split("-")[0] for item in items}
    has_train = spec.train is not None or (spec.hub is not None and spec.data is None)
    if has_train:
        records = _chosen(spec, _mapped(spec, read_records(spec, "train", dirs)))
        pool: Iterable[Item] = (item for record in records for item in make(record))
    elif rest:
        pool = sorted(rest, key=lambda item: item.id)
    else:
        held = sorted(items, key=lambda item: item.id)[-count:]
        names = {item.id.split("-")[0] for item in held}
        items = [item for item in items if item.id.split("-")[0] not in names]
        asked, pool = asked - names, held
    chosen: list[Item] = []
    for item in pool:
        if item.id.split("-")[0] not in asked:
            chosen.append(item)
        if len(chosen) == count:
            break
    if len(chosen) < count or not items:
        raise spec.error("shots", f"shots is {count}, but there are only {len(chosen)} examples that are not asked.")
    return tuple(_example(spec, item) for item in chosen), items


def _example(spec: TaskSpec, item: Item) -> tuple[str, str]:
    """(what is asked, its right answer) of an example."""
    if item.continuation and item.gold is not None:
        return item.choices[item.gold], item.continuation
    return item.prompt, item.answer[0]


def _warn_of_double_space(spec: TaskSpec, item: Item) -> None:
    """A blank at the prompt's end and another from the delimiter: tokens that no model was trained on."""
    delimiter = spec.values["target_delimiter"]
    if spec.kind in ("choice", "continuation") and item.prompt.endswith(" ") and delimiter.startswith(" "):
        warn(
            f"{spec.where('prompt')}: task {spec.name}: the prompt ends in a space and target_delimiter adds another. "
            "End the prompt without one."
        )
