"""The sets of a recipe as three splits of examples, and the report of all that was read, changed, dropped and kept.

`load_examples` is the road: open the sets, find the classes, convert every record (a wrong one stops), draw `items`,
split by hash, drop what stands twice. Law: examples made = kept + each counted reason, for every set. Weights are not
multiplied out: train holds each example once, the report says how often an epoch sees it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain, islice
from typing import Any

from smallm.core.config import FinetuneConfig
from smallm.core.console import say, warn
from smallm.core.errors import UserError
from smallm.finetune.describe import SetFacts, describe, lines_of
from smallm.finetune.duplicates import without_duplicates
from smallm.finetune.examples import Example
from smallm.finetune.formats import LOOKED_AT, Converter
from smallm.finetune.sources import OpenSet, Raw, Side, language_note, open_sets, rows_of
from smallm.finetune.splits import SPLITS, split

NOT_DRAWN = "not drawn (items: {})"
MANY_CLASSES = 200  # more than these are no classes, unless the recipe says so
FREE_TEXT = 8  # from so many examples on, more classes than half of them are free text
LONG_CLASS = 100  # characters; a longer label is a text


@dataclass(frozen=True)
class ExampleSets:
    """The splits, the classes of a classification (in their order), and the report for audit, cards and manifest."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    report: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def load_examples(tune: FinetuneConfig, seed: int, *, quiet: bool = False) -> ExampleSets:
    """Every set of `finetune.data`, converted, split and without duplicates. Says what it found unless `quiet`.

    UserError: a set that is not there, a record that breaks a law, a label outside the classes, nothing to train on.
    """
    sets = open_sets(tune)
    named = {one.source.use for one in sets}
    shares = {"validation": tune.validation, "test": tune.test}
    drawn = {name: share for name, share in shares.items() if share and name not in named}
    labels = classes_of(sets, tune, seed)
    examples: list[tuple[Example, Side]] = []
    facts = []
    for one in sets:
        made, fact = _read(one, tune, seed, labels, list(drawn))
        examples += made
        facts.append(fact)
    splits = split(examples, drawn)
    kept = without_duplicates(splits["train"], splits["validation"], splits["test"])
    report = describe(tune, facts, splits, kept, labels, drawn)
    if not kept.train:
        raise UserError(
            f"finetune.data: nothing is left to train on ({len(examples):,} examples; dropped: "
            f"{dict(kept.counts) or 'none'}). Name a set for training, or lower finetune.test and finetune.validation."
        )
    if not quiet:
        for line in lines_of(report):
            say(line)
        for line in report["warnings"]:
            warn(line)
    return ExampleSets(kept.train, kept.validation, kept.test, report, tuple(labels))


# ---- one set -------------------------------------------------------------------------------------------------------


def _opened(
    one: OpenSet, tune: FinetuneConfig, seed: int, labels: Sequence[str], drawn: Sequence[str]
) -> tuple[Converter, Iterator[Raw]]:
    """The set's converter, its format found in the first records, and all records."""
    rows = rows_of(one, tune, seed, drawn)
    first = list(islice(rows, LOOKED_AT))
    converter = Converter(
        one.source, tune, one.name, where=one.where, first=[row.record for row in first], task=one.task, labels=labels
    )
    return converter, chain(first, rows)


def _read(
    one: OpenSet, tune: FinetuneConfig, seed: int, labels: Sequence[str], drawn: Sequence[str]
) -> tuple[list[tuple[Example, Side]], SetFacts]:
    """The examples of one set, and what there is to say of it."""
    converter, rows = _opened(one, tune, seed, labels, drawn)
    counts = Counter[str]()

    def made() -> Iterator[tuple[Example, Side]]:
        for row in rows:
            counts["records"] += 1
            for example in converter(row.record, row.place):
                counts["examples"] += 1
                yield example, row.side

    limit = 0 if one.counts else one.source.items
    examples = _lowest(made(), limit) if limit else list(made())
    dropped = counts["examples"] - len(examples)
    fact = SetFacts(
        name=one.name,
        where=one.where,
        kind=one.kind,
        spec=one.spec,
        format=converter.format,
        found_in=converter.found_in,
        task=one.task,
        licence=one.licence,
        weight=one.source.weight,
        use=one.source.use,
        records=counts["records"],
        examples=counts["examples"],
        changed=dict(converter.changed),
        dropped={NOT_DRAWN.format(limit): dropped} if dropped else {},
        left_out=dict(+one.left_out),
        notes=[*one.notes, *_left_out(one)],
        warnings=[note for note in (language_note(one, tune), _unused_prompt(converter, tune)) if note],
        prompt=converter.columns.prompt.text if converter.columns else "",
    )
    return examples, fact


def _lowest(made: Iterator[tuple[Example, Side]], limit: int) -> list[tuple[Example, Side]]:
    """The `limit` examples of the lowest hashes, in their order: the same ones for every seed, memory of `limit`."""
    hashed = (
        (hashlib.sha256(f"items {pair[0].id}".encode()).digest(), number, pair) for number, pair in enumerate(made)
    )
    chosen = heapq.nsmallest(limit, hashed, key=lambda item: item[:2])
    return [pair for _, _, pair in sorted(chosen, key=lambda item: item[1])]


def _left_out(one: OpenSet) -> list[str]:
    notes = []
    if one.skipped:
        notes.append("left out files without records: " + ", ".join(f"{n} {e}" for e, n in sorted(one.skipped.items())))
    if +one.left_out:
        said = ", ".join(f"{n:,} {reason}" for reason, n in (+one.left_out).items())
        notes.append(f"left out by the rules of reader {one.source.reader}: {said}")
    return notes


def _unused_prompt(converter: Converter, tune: FinetuneConfig) -> str:
    if tune.prompt and converter.columns is None:
        return f"finetune.prompt is not used for {converter.name}: its records of format {converter.format} hold theirs"
    return ""


# ---- classes -------------------------------------------------------------------------------------------------------


def classes_of(sets: Sequence[OpenSet], tune: FinetuneConfig, seed: int) -> list[str]:
    """The classes of a classification: declared, or named by label_names or a generator, or found in what is trained.

    Found are those of every record that may be trained on or asked (all but sets of `use: test`). [] for other tasks.
    UserError: so many, or so nearly as many as examples, that they are free text.
    """
    if tune.labels:
        return list(tune.labels)
    if tune.task != "classification":
        return []
    named: dict[str, None] = {}
    found: Counter[str] = Counter()
    for one in sets:
        if one.task != "classification":
            raise UserError(
                f"{one.where}: {one.spec} is a set of task {one.task}, not of classes, but finetune.task is "
                "classification. Tune the two apart, or set finetune.task: instruct."
            )
        if one.source.label_names:
            named.update(dict.fromkeys(one.source.label_names))
        elif one.kind == "synth" and one.source.output == "label":
            named.update(dict.fromkeys(import_module(f"smallm.data.synth.{one.source.synth}").LABELS))
        elif one.source.use != "test":
            converter, rows = _opened(one, tune, seed, [], [])
            found.update(label for row in rows for label in converter.label(row.record, row.place))
    total = sum(found.values())
    long = any(len(label) > LONG_CLASS for label in found)
    if long or len(found) > MANY_CLASSES or (total >= FREE_TEXT and 2 * len(found) > total):
        examples = ", ".join(repr(label[:40]) for label, _ in found.most_common(3))
        raise UserError(
            f"finetune.labels is empty, and the examples hold {len(found)} labels in {total:,} ({examples}, …): "
            "that is free text, not classes. Name the classes in finetune.labels, or the right field with `output:`."
        )
    return [*named, *sorted(set(found) - set(named))]


__all__ = ["SPLITS", "ExampleSets", "classes_of", "load_examples"]
