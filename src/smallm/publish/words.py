"""Facts in words: the sentences and table cells that report and cards share, as plain text.

Escaping is the templates' work. A fact without a file behind it reads "not measured".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smallm.core.console import count, duration
from smallm.publish.facts import Facts, Source
from smallm.publish.task_facts import has_chance

NOT_MEASURED = "not measured"
# At or below this size and text, standard multiple-choice suites cannot be told from guessing (shared notes
# on peers: chance below about 150M parameters and 10 B tokens).
CHANCE_PARAMETERS, CHANCE_TOKENS = 150e6, 10e9
STAGE_TITLES = {
    "data": "Data",
    "tokenizer": "Tokenizer",
    "tokens": "Tokens",
    "train": "Training",
    "eval": "Evaluation",
    "examples": "Examples",
    "tune": "Fine-tuning",
    "compare": "Base against tuned",
}
PRESET_NAMES = {"qwen3": "Qwen3-style", "llama": "Llama-style", "gpt2": "GPT-2-style"}


@dataclass(frozen=True)
class Item:
    """One fact: a label, its value, a note, and the file it came from (None: not measured)."""

    label: str
    value: str
    note: str = ""
    file: str | None = None


def say(value: Any, format: Callable[[Any], str] = str) -> str:
    """`format(value)`, or "not measured" for None."""
    return NOT_MEASURED if value is None else format(value)


def bytes_in_words(n: float) -> str:
    return count(float(n), "B")


def percent(share: float) -> str:
    """0.957 -> '95.7 %' with a space that does not break."""
    number = f"{100 * share:.1f}"
    return ("100" if number == "100.0" else number) + "\u00a0%"


def plus_minus(figures: dict[str, Any]) -> str:
    """'0.612 ± 0.007', or the value alone with the reason that it has no error."""
    error = figures.get("standard_error")
    return f"{figures['value']:.3f} ± {error:.3f}" if error is not None else f"{figures['value']:.3f} (one document)"


def joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""


def verdict(facts: Facts) -> str:
    """One or two sentences: what was built from what, and how good it is."""
    model, data = facts.model, facts.data
    made = "A model"
    if model and model.get("parameters"):
        preset = PRESET_NAMES.get((model.get("model") or {}).get("preset", ""), "")
        size = count(model["parameters"])
        # Said aloud: an 8M, an 11M, an 18M, but a 1.8M and a 110M model.
        article = "An" if size.startswith("8") or size[:-1].split(".")[0] in ("11", "18") else "A"
        made = f"{article} {size}-parameter{' ' + preset if preset else ''} language model"
    kind = "trained further" if facts.recipe.train.init_from else "trained from scratch"
    source = f" on {joined([s.name for s in data.sources])}" if data and data.sources else ""
    took = f" in {duration(model['train_seconds'])}" if model and model.get("train_seconds") else ""
    sentence = f"{made}, {kind}{source}{took}."
    if facts.evaluation is None:
        return sentence + " How good it is was not measured yet."
    figures = facts.evaluation["bits_per_byte"]
    sentence += f" It needs {figures['value']:.2f} bits for each byte of text that it has never seen"
    gzip = (facts.evaluation.get("gzip_bits_per_byte") or {}).get("value")
    sentence += f"; gzip needs {gzip:.2f}." if gzip else "."
    stories = facts.evaluation.get("stories") or {}
    if stories.get("accepted_share") is not None:
        share = percent(stories["accepted_share"])
        sentence += f" Of the sentences in its stories, {share} follow the grammar of those it read."
    return sentence


def headline_items(facts: Facts) -> list[Item]:
    """The strip of figures under the title."""
    model, evaluation = facts.model or {}, facts.evaluation
    smallm = "base/smallm.json" if facts.model else None
    perplexity = evaluation["perplexity"] if evaluation else None
    interval = ""
    if perplexity and perplexity.get("low") is not None:
        interval = f"{perplexity['low']:.2f} to {perplexity['high']:.2f}, per token"
    context = (model.get("model") or {}).get("context")
    return [
        Item("Parameters", say(model.get("parameters"), count), _context(context), smallm),
        Item("Tokens seen", say(model.get("tokens_seen"), count), _epochs(facts), smallm),
        Item(
            "Bits per byte",
            say(evaluation and evaluation["bits_per_byte"]["value"], lambda v: f"{v:.3f}"),
            _error_note(evaluation),
            facts.evaluation_file,
        ),
        Item(
            "Perplexity",
            say(perplexity and perplexity["value"], lambda v: f"{v:.2f}"),
            interval,
            facts.evaluation_file,
        ),
        Item("Training time", say(model.get("train_seconds"), duration), machine_in_words(facts), smallm),
        Item("Cost", total_cost(facts), "all stages" if facts.recipe.report.price_per_hour else "own machine", None),
    ]


def _context(context: int | None) -> str:
    return f"context {context:,} tokens" if context else ""


def _epochs(facts: Facts) -> str:
    return f"{facts.epochs:.1f} passes over the text" if facts.epochs else ""


def _error_note(evaluation: dict[str, Any] | None) -> str:
    if evaluation is None:
        return ""
    figures = evaluation["bits_per_byte"]
    error = figures.get("standard_error")
    documents = f"{figures['documents']:,} held-out document{'s' if figures['documents'] != 1 else ''}"
    return (f"± {error:.3f}, " if error is not None else "") + documents


def machine_in_words(facts: Facts) -> str:
    """'AMD EPYC 7B13, 2 cores', a GPU first, or '' when no file says."""
    machine = facts.machine
    if not machine:
        return ""
    gpus = [str(g.get("name", g)) if isinstance(g, dict) else str(g) for g in machine.get("gpus") or []]
    cores = f"{machine['cores']} core{'' if machine['cores'] == 1 else 's'}" if machine.get("cores") else ""
    return ", ".join(str(part) for part in [*gpus, machine.get("cpu"), cores] if part)


def total_cost(facts: Facts) -> str:
    costs = [stage.cost for stage in facts.stages]
    return cost(sum(c for c in costs if c is not None) if costs and None not in costs else None, facts)


def cost(value: float | None, facts: Facts) -> str:
    """'0.42 USD'; a run without a price per hour is not priced."""
    return "not priced" if value is None else f"{value:.3g} {facts.recipe.report.currency}"


def source_license(source: Source) -> str:
    """The licence as stated, ours for our generator, Python's for its documentation; else that it is unknown."""
    if source.license:
        return source.license
    return {"synth": "apache-2.0", "builtin": "PSF-2.0"}.get(source.kind, "not stated")


def drop_reason(reason: str) -> str:
    return reason.replace("_", " ").replace("-", " ")


def shape(facts: Facts) -> str:
    """'4 layers, 256 wide, 4 heads, vocabulary 4,096'."""
    model = (facts.model or {}).get("model") or {}
    parts = [
        f"{model[key]:,} {label}" if label != "vocabulary" else f"vocabulary {model[key]:,}"
        for key, label in (("layers", "layers"), ("width", "wide"), ("heads", "heads"), ("vocab_size", "vocabulary"))
        if model.get(key)
    ]
    return ", ".join(parts) or NOT_MEASURED


def pipeline_items(facts: Facts) -> list[Item]:
    """The road from text to figures, one node a stage."""
    data, tokenizer, evaluation = facts.data, facts.tokenizer or {}, facts.evaluation
    splits = data.splits if data else {}
    train, validation = splits.get("train"), splits.get("validation")
    read = str(len(data.sources)) if data else NOT_MEASURED
    documents = sum(s.documents for s in splits.values()) if data else None
    size = sum(s.bytes for s in splits.values()) if data else None
    tokens = train.tokens if train else None
    bits = evaluation["bits_per_byte"] if evaluation else None
    return [
        Item(
            "Sources",
            read,
            joined([s.name for s in data.sources]) if data else "",
            "data/manifest.json" if data else None,
        ),
        Item(
            "Documents",
            say(documents, lambda n: f"{n:,}" if n < 1e6 else count(n)),
            f"{bytes_in_words(size)}, {count(validation.documents)} held out" if size and validation else "",
            "data/manifest.json" if data else None,
        ),
        Item(
            "Tokenizer",
            say(tokenizer.get("vocab_size"), lambda v: f"{v:,}"),
            f"{tokenizer['kind']}, {tokenizer['bytes_per_token']:.2f} bytes a token"
            if tokenizer.get("bytes_per_token")
            else "",
            "tokenizer/report.json" if tokenizer else None,
        ),
        Item(
            "Tokens",
            say(tokens, count),
            "to train on" if tokens else "",
            "tokens/base/manifest.json" if tokens else None,
        ),
        Item(
            "Model",
            say((facts.model or {}).get("parameters"), count),
            shape(facts) if facts.model else "",
            "base/smallm.json" if facts.model else None,
        ),
        Item(
            "Evaluation",
            say(bits and bits["value"], lambda v: f"{v:.3f}"),
            "bits per byte" if bits else "",
            facts.evaluation_file,
        ),
    ]


def limitations(facts: Facts) -> list[str]:
    """What a reader must not expect, each from a fact."""
    model = facts.model or {}
    parameters, seen = model.get("parameters"), model.get("tokens_seen")
    found = []
    if parameters and seen and parameters <= CHANCE_PARAMETERS and seen <= CHANCE_TOKENS:
        found.append(
            f"At {count(parameters)} parameters and {count(seen)} tokens seen it knows the form of its training text, "
            "not facts about the world."
        )
        if not has_chance(facts.results):  # else the card says which tasks are at chance
            found[-1] += (
                " Standard multiple-choice benchmarks cannot tell a model of this size from guessing (below about 150M "
                "parameters and 10B tokens they are at chance); bits per byte can."
            )
    if facts.data:
        names = joined([s.name for s in facts.data.sources])
        found.append(f"It has read {names} and nothing else; other languages, topics and formats are out of its reach.")
    context = (model.get("model") or {}).get("context")
    if context:
        found.append(f"It sees at most {context:,} tokens at a time and was never trained on longer texts.")
    if facts.epochs and facts.epochs > 4:
        found.append(f"Each training token was seen {facts.epochs:.1f} times: it may repeat training text verbatim.")
    copied = ((facts.evaluation or {}).get("stories") or {}).get("ngram13_in_training_share")
    if copied is not None:
        found.append(f"{percent(copied)} of the 13-word sequences in its sampled stories stand in the training text.")
    found.append("It continues text. It was not tuned to follow instructions, and nothing filters what it says.")
    found.append("Bias, toxicity and memorised personal data: not measured.")
    return found


def license_of(sources: list[Source]) -> str:
    """The Hub's licence field: the sources' common licence, 'unknown' when one is not stated, else 'other'."""
    stated = {source_license(s).lower() for s in sources}
    if "not stated" in stated or not stated:
        return "unknown"
    if len(stated) == 1 and next(iter(stated)) in HUB_LICENSES:
        return next(iter(stated))
    return "other"


# Identifiers that the Hub's `license` field takes (huggingface.co/docs/hub/repositories-licenses), those of texts
# and models; any other SPDX name goes under `other` with its name in the table. PSF-2.0 is not among them.
HUB_LICENSES = frozenset(
    re.findall(
        r"\S+",
        """apache-2.0 mit cc0-1.0 cc-by-2.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0
        cc-by-nd-4.0 cc-by-nc-nd-4.0 odc-by pddl odbl gpl-2.0 gpl-3.0 lgpl-3.0 agpl-3.0 bsd-2-clause bsd-3-clause
        unlicense openrail other unknown""",
    )
)
