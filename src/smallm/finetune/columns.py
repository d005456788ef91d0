"""Records of fields: which field is asked about, which is learned, which is the passage; labels by name.

    prompt + completion | response | answer | output       the prompt is whole: no template of ours
    question | query + answer | response                   asked with the task's template (+ context)
    instruction + output | response (+ input | context)    Alpaca's: instruction, a blank line, input
    input + output, source + target                        asked with the task's template
    text + label                                           classification

The first four are formats; two columns of other names are named in the recipe (`input`, `output`, `context`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from smallm.core.config import FinetuneConfig, TuneSource
from smallm.core.errors import UserError
from smallm.finetune import templates
from smallm.finetune.templates import Template, missing

# Pairs of fields that are a prompt and its completion, the whole prompts first.
WHOLE_PAIRS = tuple(("prompt", answer) for answer in ("completion", "response", "answer", "output"))
ASKED_PAIRS = (
    ("question", "answer"), ("question", "response"), ("query", "answer"), ("query", "response"), ("input", "output"),
    ("source", "target"),
)  # fmt: skip
ALPACA_PAIRS = (("instruction", "output"), ("instruction", "response"))
CONTEXTS = ("context", "passage")
TEXT_FIELDS = ("text", "sentence", "tweet", "headline", "review", "content")
LABEL_FIELDS = ("label", "class", "category", "topic", "sentiment")
# A record's own fields that stay for evaluation: scalars and lists of them, so long at most.
LONGEST_FIELD = 500
LONGEST_LIST = 20


class Asked(NamedTuple):
    """What a record of fields says: `about` and `context` without template, `label` where it names a class."""

    prompt: str
    answer: str
    about: str
    context: str
    label: str | None


@dataclass(frozen=True)
class Names:
    """The fields of a format: `context` may be None. `template` is the format's own prompt, None = the task's."""

    input: str | None
    output: str | None
    context: str | None = None
    template: str | None = None


def get(record: Mapping[str, Any], name: str, place: str, key: str) -> Any:
    """The value of a field; `translation.en` goes down into it. UserError naming the fields there are."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = value if isinstance(value, Mapping) else record
            raise UserError(missing(part if value is not record else name, known, place, f", which `{key}` names"))
        value = value[part]
    return value


def has(record: Mapping[str, Any], name: str) -> bool:
    return isinstance(record.get(name), str)


def pairs_of(record: Mapping[str, Any], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs whose two fields are there and hold text."""
    return [pair for pair in pairs if has(record, pair[0]) and has(record, pair[1])]


def usual_columns(record: Mapping[str, Any], task: str) -> tuple[str, str] | None:
    """(text, label) under usual names, for classification; None where either is not there, or twice."""
    if task != "classification":
        return None
    texts = [name for name in TEXT_FIELDS if has(record, name)]
    labels = [name for name in LABEL_FIELDS if isinstance(record.get(name), (str, int))]
    return (texts[0], labels[0]) if len(texts) == len(labels) == 1 else None


class Columns:
    """Makes prompt and answer of the records of one set, all of the same fields."""

    def __init__(
        self, names: Names, source: TuneSource, tune: FinetuneConfig, task: str, labels: Sequence[str], where: str
    ) -> None:
        self.names, self.source, self.where = names, source, where
        self.task, self.labels = task, list(labels)
        language = self._language(tune)
        self.language = templates.language_name(language)
        self.given = bool(source.prompt or tune.prompt)
        given, key = (source.prompt, f"{where}.prompt") if source.prompt else (tune.prompt, "finetune.prompt")
        default = names.template or templates.task_prompt(task, language)
        self.prompt = Template(given, key) if given else Template(default, f"the prompt of {task}")
        self.answer = Template(source.answer or templates.ANSWER, f"{where}.answer")
        if names.input is None and "input" in self.prompt.names and not given:
            raise UserError(
                f"{where}: which field is asked about? Name it: `input: FIELD`, or write a `prompt` with {{{{FIELD}}}}."
            )
        if names.output is None and source.answer is None:
            raise UserError(f"{where}: which field is learned? Name it with `output: FIELD`, or write `answer:`.")

    def _language(self, tune: FinetuneConfig) -> str:
        """Of the answers: what the column is named after (`german`), else the recipe's."""
        named = templates.language_of_field(self.names.output or "") if self.task == "translation" else None
        return named or tune.language

    def __call__(self, record: Mapping[str, Any], place: str) -> Asked:
        """Prompt and answer of one record. UserError for a field that is missing, empty or no text."""
        about = self._value(record, self.names.input, "input", place) if self.names.input else ""
        context = self._optional(record, self.names.context, place)
        output = self.output(record, place)
        values: dict[str, Any] = {**record, "labels": self.labels, "language": self.language}
        if not self.given and self.names.context is None and self.names.template != templates.ALPACA:
            self._refuse_lost_passage(record, place)
        if self.names.template != templates.ALPACA:  # whose `input` and `context` are the record's own
            values.pop("context", None)
            values |= ({"input": about} if self.names.input else {}) | ({"context": context} if context else {})
        if output is not None:
            values["output"] = output
        prompt = self.prompt(values, place, record)
        if not prompt.strip():
            raise UserError(f"{place}: the prompt is empty ({self.names.input or self.prompt.key}). Fill it in.")
        answer = self.answer(values, place, record)
        if not answer.strip():
            raise UserError(f"{place}: the answer is empty ({self.answer.key}). Fill it in, or remove the record.")
        if not self.names.input and self.prompt.single is not None:
            about = self.prompt.single(values, place, record)
        label = (output or answer) if self.task == "classification" else None
        return Asked(prompt, answer, self._about(record, about), context, label)

    def _refuse_lost_passage(self, record: Mapping[str, Any], place: str) -> None:
        """UserError for a passage that the prompt would not hold: the first records had none, or write it out."""
        for name in CONTEXTS:
            if name not in (self.names.input, self.names.output) and has(record, name) and record[name].strip():
                raise UserError(
                    f"{place}: the field `{name}` holds text, but the prompt of this set is made without it. Name it "
                    f"with {self.where}.context: {name}, or write a prompt ({self.where}.prompt) with or without it."
                )

    def label(self, record: Mapping[str, Any], place: str) -> str:
        """The class that a record names, before the classes (and so the prompts) are known."""
        return self.output(record, place) or self.answer(record, place, record)

    def output(self, record: Mapping[str, Any], place: str) -> str | None:
        """The value that is learned, a number translated by label_names; None where only `answer` names it."""
        if self.names.output is None:
            return None
        value = get(record, self.names.output, place, f"{self.where}.output")
        if self.source.label_names:
            return self._label(value, place)
        text = self._text(value, self.names.output, place)
        return text.strip() if self.task == "classification" else text

    def _label(self, value: Any, place: str) -> str:
        """`label_names` of a number; a text that is one of the names stays."""
        names = self.source.label_names
        if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
            value = int(value)
        word = str(value).strip()
        if isinstance(value, (int, str)) and word.isdecimal() and word not in names:
            if int(word) < len(names):
                return names[int(word)]
            rule = f"{self.where}.label_names has {len(names)} names, for the numbers 0 to {len(names) - 1}"
            raise UserError(f"{place}: label {word} (field `{self.names.output}`): {rule}. Add its name.")
        if word in names:
            return word
        raise UserError(
            f"{place}: label {value!r} (field `{self.names.output}`) is neither a number nor one of "
            f"{self.where}.label_names ({', '.join(names[:8])}{', …' if len(names) > 8 else ''}). Repair the record."
        )

    def _value(self, record: Mapping[str, Any], name: str, key: str, place: str) -> str:
        return self._text(get(record, name, place, f"{self.where}.{key}"), name, place)

    def _text(self, value: Any, name: str, place: str) -> str:
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{place}: field `{name}` is {value}: an empty cell? Fill it in, or remove the record.")
        if isinstance(value, (bool, int, float)):
            return str(value)
        if not isinstance(value, str):
            kind = "null" if value is None else f"a {type(value).__name__}"
            raise UserError(
                f"{place}: field `{name}` is {kind}, not text. Repair or remove the record, or take a part of it with "
                f"a template ({self.where}.prompt, .answer)."
            )
        if not value.strip():
            raise UserError(f"{place}: field `{name}` is empty. Fill it in, or remove the record.")
        return value

    def _optional(self, record: Mapping[str, Any], name: str | None, place: str) -> str:
        """The passage; "" where the record has none. A name that the recipe gave must be a field."""
        if name is None or (name not in record and self.source.context is None):
            return ""
        value = get(record, name, place, f"{self.where}.context")
        return "" if value is None or (isinstance(value, str) and not value.strip()) else self._text(value, name, place)

    def _about(self, record: Mapping[str, Any], about: str) -> str:
        """What a copy would repeat: of Alpaca's records the input where there is one."""
        if self.names.template == templates.ALPACA:
            for name in ("input", *CONTEXTS):
                if has(record, name) and record[name].strip():
                    return record[name]
        return about

    @property
    def used(self) -> set[str]:
        """The record's fields that stand in the prompt or the answer."""
        names = {n.split(".")[0] for n in (self.names.input, self.names.output, self.names.context) if n}
        return names | self.prompt.names | self.answer.names


def kept_fields(record: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
    """The other fields of a record that evaluation may use: scalars, short texts, short lists of them."""

    def small(value: Any) -> bool:
        if isinstance(value, str):
            return len(value) <= LONGEST_FIELD and value.encode("utf-8", "ignore").decode("utf-8") == value
        return isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))

    return {
        str(name): value
        for name, value in record.items()
        if name not in used
        and (small(value) or (isinstance(value, list) and len(value) <= LONGEST_LIST and all(map(small, value))))
    }
