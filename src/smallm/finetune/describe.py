"""What is to be said of the sets of a fine-tuning: one report for the console, the audit, the cards, the manifest.

task, language, labels          {classes, declared, train, validation, test: {class: n}}
sources                         a list: name, spec, kind, format, licence, weight, records, examples, changed,
                                dropped {reason: n}, train, validation, test, seen_per_epoch, …
splits                          train, validation, test: examples, and of the characters of prompt and answer
                                the mean, median, 90th percentile, largest; turns
duplicates                      dropped {reason: n}, near (shown pairs), prompts with several answers
drawn, rules, warnings          shares that were drawn, the rules in words, what the user should look at
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from smallm.core.config import FinetuneConfig
from smallm.finetune.duplicates import NEAR, Kept, several_answers
from smallm.finetune.examples import Example, prompt_text
from smallm.finetune.splits import SPLITS, divided_clusters

SHOWN_PAIRS = 5
SHOWN_CHARACTERS = 200
DOMINANT = 0.8  # share of the commonest class from which a constant guess looks good
_ABSENT = {"validation": "no curve, no best checkpoint", "test": "base and tuned cannot be compared"}
RULES = {
    "split": "by hash of the cluster where one is named, else of the prompt; up to 1,000 of them ranked by hash",
    "twice": "equal but for case, width and blanks; a prompt of test leaves validation and train, one of validation "
    "leaves train",
    "near": f"{NEAR}; 5-grams in over a tenth of a set's test prompts do not count",
}


@dataclass
class SetFacts:
    """One set as it was read: how many records and examples, what was changed, what was not drawn."""

    name: str
    where: str
    kind: str
    spec: str
    format: str
    found_in: int | None
    task: str
    licence: str
    weight: float
    use: str
    records: int
    examples: int
    changed: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    prompt: str = ""


def describe(
    tune: FinetuneConfig,
    facts: Sequence[SetFacts],
    splits: Mapping[str, Sequence[Example]],
    kept: Kept,
    labels: Sequence[str],
    drawn: Mapping[str, float],
) -> dict[str, Any]:
    """The report, plain JSON data. `splits` are those before duplicates were dropped."""
    of = {"train": kept.train, "validation": kept.validation, "test": kept.test}
    report: dict[str, Any] = {
        "task": tune.task,
        "language": tune.language,
        "sources": [_source(fact, of, kept) for fact in facts],
        "splits": {name: lengths(of[name]) for name in SPLITS},
        "duplicates": {
            "dropped": dict(sorted(kept.counts.items())),
            "near": [_pair(*pair) for pair in sorted(kept.near, key=lambda p: (-p[2], p[0].id))[:SHOWN_PAIRS]],
            "prompts_with_several_answers": {name: several_answers(of[name]) for name in SPLITS},
        },
        "clusters": {"named": any(one.cluster for one in kept.train), "divided": divided_clusters(of)},
        "drawn": dict(drawn),
        "rules": RULES,
    }
    if labels:
        counts = {name: Counter(str(one.fields.get("label")) for one in of[name]) for name in SPLITS}
        report["labels"] = {"classes": list(labels), "declared": bool(tune.labels)}
        report["labels"] |= {name: {label: counts[name][label] for label in labels} for name in SPLITS}
    report["warnings"] = [line for fact in facts for line in fact.warnings] + _warnings(tune, report)
    return report


def _source(fact: SetFacts, of: Mapping[str, Sequence[Example]], kept: Kept) -> dict[str, Any]:
    numbers: dict[str, int] = {name: sum(one.source == fact.name for one in of[name]) for name in SPLITS}
    dropped = fact.dropped | dict(Counter(reason for one, reason in kept.dropped if one.source == fact.name))
    return asdict(fact) | {"dropped": dropped} | numbers | {"seen_per_epoch": round(fact.weight * numbers["train"])}


def _pair(learned: Example, asked: Example, jaccard: float) -> dict[str, Any]:
    def shown(one: Example) -> dict[str, str]:
        return {"place": one.place.rsplit("/", 1)[-1], "prompt": prompt_text(one)[:SHOWN_CHARACTERS]}

    return {"train": shown(learned), "test": shown(asked), "jaccard": round(jaccard, 4)}


def lengths(examples: Sequence[Example]) -> dict[str, Any]:
    """How many, and the characters of prompts and answers; null where there are none."""
    return {
        "examples": len(examples),
        "texts": sum(one.is_text for one in examples),
        "turns": sum(m["role"] == "assistant" for one in examples for m in one.messages),
        "prompt_characters": _spread([sum(len(m["content"]) for m in one.before) for one in examples]),
        "answer_characters": _spread([len(one.answer) for one in examples]),
    }


def _spread(values: Sequence[int]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    at = {"median": 0.5, "p90": 0.9}
    found = {name: float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) for name, share in at.items()}
    return {"mean": round(sum(values) / len(values), 1), **found, "largest": float(ordered[-1])}


def _warnings(tune: FinetuneConfig, report: Mapping[str, Any]) -> list[str]:
    """What a person should look at before training on it."""
    said = []
    for source in report["sources"]:
        if not source["licence"]:
            said.append(f"{source['name']}: no licence is stated; name it with `license:` before you publish")
        for what, n in source["changed"].items():
            said.append(f"{source['name']}: {n:,} times: {what}")
        for name in SPLITS:
            if source["examples"] and not source[name] and source["use"] == name:
                said.append(f"{source['name']}: none of its examples is left in {name}")
    for name, why in _ABSENT.items():
        if not report["splits"][name]["examples"]:
            remedy = f"give finetune.{name} a share and leave `use` away from a set, or name a set with `use: {name}`"
            said.append(f"no {name} examples: {why}; {remedy}")
    if report["clusters"]["divided"]:
        said.append(f"{report['clusters']['divided']:,} clusters stand in two splits, by what `use` says of their sets")
    labels = report.get("labels")
    if labels:
        absent = [label for label in labels["classes"] if not labels["train"][label]]
        if absent:
            said.append(f"classes without a training example: {', '.join(absent[:10])}")
        if all(label.strip().isdecimal() for label in labels["classes"]):
            said.append("the labels are numbers; say what they mean with `label_names`")
        most = max(labels["train"].values(), default=0) / max(1, sum(labels["train"].values()))
        if most >= DOMINANT:
            said.append(f"{most:.0%} of the training examples have the same label: accuracy alone says little")
    texts = report["splits"]["train"]["texts"]
    if texts and tune.train_on != "all":
        said.append(f"{texts:,} examples are plain texts: all of their tokens are learned, without a chat template")
    return said


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """The report for the console, a line each."""
    lines = []
    for source in report["sources"]:
        found = source["found_in"]
        how = "named in the recipe" if found is None else f"found in {found} of the first {min(100, source['records'])}"
        if source["kind"] in ("synth", "reader"):
            how = f"task {source['task']}"
        lines.append(
            f"{source['name']}: format {source['format']} ({how}), {source['records']:,} records, "
            f"{source['examples']:,} examples: {source['train']:,} train, {source['validation']:,} validation, "
            f"{source['test']:,} test"
            + (f"; weight {source['weight']:g}" if source["weight"] != 1 else "")
            + (f"; licence {source['licence']}" if source["licence"] else "")
        )
        lines += [f"{source['name']}: {note}" for note in source["notes"]]
        lines += [f"{source['name']}: dropped {n:,}: {reason}" for reason, n in source["dropped"].items()]
    return lines
