"""The format of a set's records, found in the first of them or named by the recipe, and their conversion to examples.

    messages            messages: [{role, content}]            also conversations; OpenAI's text parts
    sharegpt            conversations: [{from, value}]
    prompt-completion   prompt + completion, question + answer, … (columns.py has the pairs); TRL's lists of messages
    alpaca              instruction, input, output             also context, response; Self-Instruct's nested instances
    columns             two fields named in the recipe; text + label in a classification
    text                one text, learned whole

A record that does not fit the set's format stops: nothing is skipped. What is changed (an end token of another model
taken off an answer, an empty system message left out) is counted in `Converter.changed`.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.evaluate.text_metrics import class_of
from smallm.finetune import columns, templates
from smallm.finetune.columns import Columns, Names, kept_fields
from smallm.finetune.conversations import PARTS, is_turns, read_turns, turns_field
from smallm.finetune.examples import (
    ASSISTANT,
    SYSTEM,
    TEXT,
    USER,
    Example,
    Message,
    example,
    normal,
    strip_end_token,
)  # fmt: skip

LOOKED_AT = 100
Record = Mapping[str, Any]
# Fields beside those of a format that would change what is learned, were they read.
IGNORED_AT_A_LOSS = ("history", "tools", "functions", "images", "videos", "audios")
SYSTEM_FIELDS = ("system", "system_prompt")
# An end token taken off is counted under this and its name.
STRIPPED = "end token of another model taken off an answer"
NO_SYSTEM = "empty system message left out"
BAKED = "prompt that holds the Alpaca template's words, taken as it is"
SHAPES = (
    "Known are messages [{role, content}], conversations [{from, value}], prompt + completion, question + answer, "
    "instruction + input + output, text. Or name two fields: `input: FIELD` and `output: FIELD`."
)


def fits(record: Record, task: str = "instruct") -> set[str]:
    """The formats that one record has the fields of; `text` only where nothing else fits."""
    found = {style for style, parts in PARTS.items() if turns_field(record, parts)}
    if _alpaca_pairs(record):
        found.add("alpaca")
    if _pairs(record):
        found.add("prompt-completion")
    if not found and columns.usual_columns(record, task):
        found.add("columns")
    if not found and columns.has(record, "text") and task != "classification":
        found.add("text")
        if columns.usual_columns(record, "classification"):
            found.add("columns")  # a text with its label: which of the two is meant, the recipe must say
    return found


def _pairs(record: Record) -> list[tuple[str, str]]:
    whole = columns.pairs_of(record, columns.WHOLE_PAIRS)
    whole += [("prompt", name) for name in ("completion",) if is_turns(record.get("prompt")) and record.get(name)]
    asked = columns.pairs_of(record, columns.ASKED_PAIRS)
    return whole + [pair for pair in asked if not (pair == ("input", "output") and "instruction" in record)]


def _alpaca_pairs(record: Record) -> list[tuple[str, str]]:
    if columns.has(record, "instruction") and isinstance(record.get("instances"), list):
        return [("instruction", "output")]
    return columns.pairs_of(record, columns.ALPACA_PAIRS)


def detect_format(
    records: Sequence[Record], task: str = "instruct", where: str = "finetune.data[0]"
) -> tuple[str, int]:
    """(format, how many of the first records have it). UserError: none fits more than half of them, or several do."""
    looked = records[:LOOKED_AT]
    counts = Counter(name for record in looked for name in sorted(fits(record, task)))
    likely = [name for name, n in counts.most_common() if n * 2 > len(looked)]
    if len(likely) == 1:
        return likely[0], counts[likely[0]]
    fields = ", ".join(map(str, list(looked[0])[:12])) if looked else "none"
    if sorted(likely) == ["columns", "text"]:
        raise UserError(
            f"{where}: these records may be texts to learn whole or texts with a label (fields: {fields}). Set "
            "finetune.task: classification, or `format: text` on the set."
        )
    if likely:
        raise UserError(
            f"{where}: the records fit {' and '.join(likely)} (fields: {fields}). Say which with `format: {likely[0]}`."
        )
    if looked and {"chosen", "rejected"} <= set(looked[0]):
        raise UserError(
            f"{where}: pairs of preferred answers (chosen, rejected) are not trained here; write `messages`."
        )
    raise UserError(
        f"{where}: no format fits more than half of the first {len(looked)} records (fields: {fields}). {SHAPES}"
    )


class Converter:
    """Records of one set to examples. `format` is the set's; `changed` counts what was not taken as it stood."""

    def __init__(
        self,
        source: TuneSource,
        tune: FinetuneConfig,
        name: str,
        *,
        where: str = "finetune.data[0]",
        first: Sequence[Record] = (),
        task: str | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.source, self.tune, self.name, self.where = source, tune, name, where
        self.task = task or tune.task
        self.labels = list(labels or tune.labels)
        self.changed: Counter[str] = Counter()
        self.found_in: int | None = None  # of the first records, where the format was found and not named
        self.format: str = source.format
        if source.format == "auto":
            if source.input or source.output or source.prompt or source.answer:
                self.format = "columns"
            else:
                self.format, self.found_in = detect_format(first, self.task, where)
        self.columns = self._columns(first) if self.format in ("columns", "prompt-completion", "alpaca") else None
        if self.columns is None:
            for key in ("prompt", "answer", "input", "output", "context"):
                if getattr(source, key) and (self.format, key) != ("text", "input"):
                    raise UserError(
                        f"{where}.{key} has no use for records of format {self.format}, whose turns are written out. "
                        "Remove it, or set `format: columns`."
                    )

    def _columns(self, first: Sequence[Record]) -> Columns | None:
        """The fields of prompt and answer, by the recipe or by their usual names; None: both are lists of turns."""
        source, sample = self.source, self._sample(first)
        input_, output, context, template = source.input, source.output, source.context, None
        pairs: list[tuple[str, str]] = []
        if self.format == "alpaca":
            pairs, template = _alpaca_pairs(sample), templates.ALPACA
        elif self.format == "prompt-completion":
            if is_turns(sample.get("prompt")):
                return None
            pairs = _pairs(sample)
        elif not (source.input or source.output or source.prompt or source.answer):
            usual = columns.usual_columns(sample, self.task)
            pairs = [usual] if usual else _pairs(sample)
        if not (input_ or output) and len(pairs) > 1:
            shown = ", ".join(" + ".join(pair) for pair in pairs)
            raise UserError(
                f"{self.where}: which two fields are meant: {shown}? Name them with `input:` and `output:`."
            )
        if pairs:
            input_, output = input_ or pairs[0][0], output or pairs[0][1]
        elif self.format != "columns" and not (input_ and output):
            shown = ", ".join(map(str, list(sample)[:12]))
            raise UserError(f"{self.where}: format {self.format}, but no record has its fields ({shown}). {SHAPES}")
        if context is None and self.format != "alpaca":
            context = next((name for name in columns.CONTEXTS if any(columns.has(r, name) for r in first)), None)
        if template is None and input_ == "prompt" and self.format == "prompt-completion":
            template, context = templates.WHOLE, source.context
        return Columns(Names(input_, output, context, template), source, self.tune, self.task, self.labels, self.where)

    def _sample(self, first: Sequence[Record]) -> Record:
        """The first record that has the format, else the first of all."""
        for record in first:
            if self.format in fits(record, self.task):
                return record
        return first[0] if first else {}

    # ---- one record ------------------------------------------------------------------------------------------------

    def __call__(self, record: Record, place: str) -> list[Example]:
        """The examples of one record (several where it holds nested `instances`). UserError with the place."""
        return [self._one(part, at) for part, at in _instances(record, place)]

    def label(self, record: Record, place: str) -> list[str]:
        """The classes that a record names (of a classification), before the prompts can be made."""
        if self.columns is not None:
            return [self.columns.label(part, at) for part, at in _instances(record, place)]
        return [strip_end_token(str(self._turns(record, place)[0][-1]["content"]))[0].strip()]

    def _one(self, record: Record, place: str) -> Example:
        for name in IGNORED_AT_A_LOSS:
            if record.get(name) and self.format != "columns":
                raise UserError(
                    f"{place}: the field `{name}` is not read in format {self.format}, and would be lost. Write it "
                    "into `messages`, remove it, or name two fields with `input:` and `output:`."
                )
        messages, fields, context = self._columned(record, place) if self.columns else self._turns(record, place)
        messages = self._tidied(messages)
        if self.task == "classification" and messages and "label" not in fields:
            fields["label"] = str(messages[-1]["content"]).strip()
        if self.task == "classification" and self.labels and fields.get("label") not in self.labels:
            raise UserError(_unknown_label(str(fields.get("label")), self.labels, place))
        if self.task == "classification" and self.labels:
            _check_scorable(str(messages[-1]["content"]), fields["label"], self.labels, place)
        return example(messages, self.name, place, self._cluster(record, context, place), fields)

    def _columned(self, record: Record, place: str) -> tuple[list[Message], dict[str, Any], str]:
        assert self.columns is not None
        asked = self.columns(record, place)
        messages = [Message(role=USER, content=asked.prompt), Message(role=ASSISTANT, content=asked.answer)]
        system = next((str(record[n]) for n in SYSTEM_FIELDS if columns.has(record, n)), None)
        if system is not None and self.format != "columns":
            messages.insert(0, Message(role=SYSTEM, content=system))
        if "### Instruction:" in asked.prompt and "### Response:" in asked.prompt:
            self.changed[BAKED] += 1
        fields = kept_fields(record, self.columns.used | ({*SYSTEM_FIELDS} if self.format != "columns" else set()))
        if asked.about and asked.about != asked.prompt:
            fields["input"] = asked.about
        if asked.label is not None:
            fields["label"] = asked.label
        return messages, fields, asked.context

    def _turns(self, record: Record, place: str) -> tuple[list[Message], dict[str, Any], str]:
        """Messages that stand in the record: a conversation, TRL's two lists, or one text."""
        if self.format == "text":
            name = self.source.input or "text"
            if name not in record:
                raise UserError(templates.missing(name, record, place, ", which format `text` reads"))
            return [Message(role=TEXT, content=record[name])], kept_fields(record, {name}), ""
        if self.format == "prompt-completion":
            asked, answer = record.get("prompt"), record.get("completion")
            if not is_turns(asked) or not is_turns(answer):
                raise UserError(f"{place}: `prompt` and `completion` are lists of messages in other records, not here.")
            messages = read_turns([*(asked or ()), *(answer or ())], "messages", place)
            return messages, kept_fields(record, {"prompt", "completion"}), ""
        name = turns_field(record, PARTS[self.format])
        if name is None:
            shape = "messages: [{role, content}]" if self.format == "messages" else "conversations: [{from, value}]"
            fields = ", ".join(map(str, list(record)[:12])) or "none"
            raise UserError(
                f"{place}: not a record of format {self.format} (fields: {fields}); it needs {shape}, with a turn at "
                "least. Repair or remove it, or name another format."
            )
        messages = read_turns(record[name], self.format, place)
        system = next((str(record[n]) for n in SYSTEM_FIELDS if columns.has(record, n)), None)
        if system is not None and not (messages and messages[0]["role"] == SYSTEM):
            messages.insert(0, Message(role=SYSTEM, content=system))
        return messages, kept_fields(record, {name, *SYSTEM_FIELDS}), ""

    def _tidied(self, messages: list[Message]) -> list[Message]:
        """Without end tokens of other models at the end of answers, and without an empty system message; counted."""
        if messages and messages[0]["role"] == SYSTEM and messages[0]["content"] == "":
            self.changed[NO_SYSTEM] += 1
            messages = messages[1:]
        kept = []
        for message in messages:
            if message["role"] in (ASSISTANT, TEXT) and isinstance(message["content"], str):
                content, token = strip_end_token(message["content"])
                if token:
                    self.changed[f"{STRIPPED}: {token}"] += 1
                    message = Message(role=message["role"], content=content)
            kept.append(message)
        return kept

    def _cluster(self, record: Record, context: str, place: str) -> str:
        """The recipe's field, else the passage of a question: its questions stay in one split."""
        if self.source.cluster:
            value = columns.get(record, self.source.cluster, place, f"{self.where}.cluster")
            if not isinstance(value, (str, int)) or value == "":
                raise UserError(f"{place}: the cluster `{self.source.cluster}` is {value!r}, not text or a number.")
            return str(value)
        return f"passage {hashlib.sha256(normal(context).encode()).hexdigest()[:16]}" if context else ""


def _instances(record: Record, place: str) -> Iterator[tuple[Record, str]]:
    """The record, or one for each of Self-Instruct's nested `instances` with the fields of the whole."""
    nested = record.get("instances")
    if not isinstance(nested, list) or "instruction" not in record:
        yield record, place
        return
    if not nested or not all(isinstance(part, Mapping) for part in nested):
        raise UserError(f"{place}: `instances` must be a list of {{input, output}} with one at least.")
    whole = {name: value for name, value in record.items() if name != "instances"}
    for number, part in enumerate(nested, 1):
        yield {**whole, **part}, f"{place}, instance {number}"


def _check_scorable(answer: str, label: str, labels: Sequence[str], place: str) -> None:
    """UserError for an answer in which scoring would not find its class: said now, not after the training."""
    found = class_of(answer, labels)
    if found is None or labels[found] != label:
        said = "no class" if found is None else f"the class {labels[found]!r} first"
        raise UserError(
            f"{place}: the answer {answer[:60]!r} names {said}, and its label is {label!r}: it could not be scored. "
            "Let the `answer` template end in {{label}}, with no other class before it."
        )


def _unknown_label(label: str, labels: Sequence[str], place: str) -> str:
    near = difflib.get_close_matches(label, labels, 1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    shown = ", ".join(name[:40] for name in labels[:12]) + (", …" if len(labels) > 12 else "")
    return (
        f"{place}: label `{label[:80]}` is none of the {len(labels)} classes ({shown}).{hint} Repair the record, or "
        "add the class to finetune.labels."
    )
