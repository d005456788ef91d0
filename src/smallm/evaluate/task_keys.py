"""The keys of a task file: what each takes, its default and its meaning, and what is wrong with a value.

One table, KEYS: reading (tasks.py) and the docs are made of it. Rules between keys are tasks.py's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from smallm.evaluate.metrics import METRICS

Kind = Literal["choice", "continuation", "generate", "perplexity"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Key:
    """A key of a task file: what it takes (a name of _TYPES) and what it means."""

    takes: str
    about: str
    default: Any = None


KEYS: dict[str, Key] = {
    "task": Key("name", "the task's name: letters, digits, `.`, `_`, `-`"),
    "about": Key("text", "one line for people", ""),
    "licence": Key("text", "of the data", ""),
    "origin": Key("text", "where the data is from, and where to get it", ""),
    "language": Key("text", "of the answers; `en` drops English articles in exact_match and f1", "en"),
    "kind": Key("kind", "choice, continuation, generate or perplexity; default: from the other keys"),
    "data": Key("data", "a file, a glob, a list of files, or `field: file` lines of parallel texts"),
    "train": Key("data", "the same, for the examples of `shots`"),
    "hub": Key("hub", "a data set of the Hub, read where no `data` file is found"),
    "synth": Key("text", "a generator of ours (smallm.data.synth.NAME)"),
    "seed": Key("count", "of `synth`", 0),
    "reader": Key("text", "for files of a shape of their own: conll-entities, cuad-clauses"),
    "each": Key("text", "a field that holds a list: one record an element, the outer fields beside it"),
    "where": Key("text", "an expression over the fields: only records for which it is true"),
    "chunk": Key("count", "cut each text into windows of so many characters, at spaces"),
    "items": Key("count", "so many items, drawn by the hash of their content: always the same ones"),
    "items_per_source": Key("count", "so many items of each `source`, drawn in the same way"),
    "test_share": Key("share", "of the items, drawn by hash; the rest is for `shots` and for training"),
    "prompt": Key("text", "the template of what the model reads"),
    "choices": Key("choices", "the field with the choices, or a list of templates"),
    "contexts": Key("choices", "as `choices`, for contexts that `continuation` follows"),
    "continuation": Key("text", "the template of the text that follows"),
    "answer": Key("answer", "the right choice: index, letter or text; with `generate`: the accepted texts"),
    "text": Key("text", "the template of the text whose bits are counted"),
    "target_delimiter": Key("text", "between prompt and answer", " "),
    "duplicates": Key("duplicates", "`refuse` equal choices of one item, or `keep` them", "refuse"),
    "cluster": Key("text", "the field that items share when they depend on each other (a passage, a contract)"),
    "source": Key("text", "the field whose values get figures of their own (a domain, a paradigm)"),
    "description": Key("text", "stands before the examples and the prompt", ""),
    "shots": Key("count", "examples before each prompt, the same ones for all items", 0),
    "shot_delimiter": Key("text", "after each example", "\n\n"),
    "chat": Key("flag", "render the prompt with the tokenizer's chat template", False),
    "cheap": Key("flag", "scored during training too; default: choice and continuation tasks are"),
    "metrics": Key("metrics", "their names, the primary one first"),
    "until": Key("texts", "generation stops before any of these", ["\n"]),
    "max_new_tokens": Key("count", "of a generation", 64),
}
HUB_KEYS = ("name", "subset", "split", "train_split", "revision", "fields")
# ---- what a value may be -------------------------------------------------------------------------------------------


def listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, (str, int)) for v in value)


def _is_hub(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("name"), str))


def _is_data(value: Any) -> bool:
    named = isinstance(value, dict) and value and all(isinstance(v, str) for v in value.values())
    return isinstance(value, str) or bool(named) or (isinstance(value, list) and bool(value) and _all_text(value))


def _all_text(values: list[Any]) -> bool:
    return all(isinstance(v, str) for v in values)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TYPES: dict[str, tuple[Any, str]] = {
    "name": (lambda v: isinstance(v, str) and NAME.fullmatch(v), "letters, digits, `.`, `_`, `-`: it names files"),
    "text": (lambda v: isinstance(v, str), "text (put it in quotes)"),
    "texts": (lambda v: isinstance(v, str) or (isinstance(v, list) and _all_text(v)), "text or a list of texts"),
    "flag": (lambda v: isinstance(v, bool), "true or false"),
    "count": (lambda v: _whole(v) and v >= 0, "a whole number"),
    "share": (lambda v: isinstance(v, float) and 0 < v < 1, "a number between 0 and 1"),
    "kind": (lambda v: v in get_args(Kind), f"one of {', '.join(get_args(Kind))}"),
    "duplicates": (lambda v: v in ("refuse", "keep"), "refuse or keep"),
    "choices": (lambda v: isinstance(v, str) or _texts(v), "a field's name or a list of templates"),
    "answer": (lambda v: isinstance(v, str) or _whole(v) or _texts(v), "a field's name, a template, or an index"),
    "data": (_is_data, "a file, a list of files, or `field: file` lines"),
    "hub": (_is_hub, f"a data set's name, or {', '.join(HUB_KEYS)}"),
    "metrics": (lambda v: isinstance(v, str) or (isinstance(v, list) and bool(v) and _all_text(v)), "metrics' names"),
}


def wrong(key: str, value: Any) -> str | None:
    """What is wrong with `key: value`, or None."""
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Its keys: {', '.join(KEYS)}."
        return f"{key} is not a key of a task. {hint}"
    test, rule = _TYPES[KEYS[key].takes]
    if not test(value):
        shown = "empty" if value is None else f"`{str(value)[:60]}`"
        return f"{key} is {shown}; it must be {rule}."
    if key == "hub" and isinstance(value, dict):
        return _unknown("hub", value, HUB_KEYS)
    if key == "metrics":
        return _unknown_metric(listed(value))
    return None


def _unknown(section: str, value: Mapping[str, Any], known: Sequence[str]) -> str | None:
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"Its keys: {', '.join(known)}."
            return f"{section}.{key} is not a key of `{section}`. {hint}"
    return None


def _unknown_metric(names: Sequence[str]) -> str | None:
    known = [metric for metric, info in METRICS.items() if not info.own]
    for name in names:
        if name not in known and not name.startswith("evaluate:"):
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            return f"metrics: {name} is not known; there are {', '.join(known)}, and evaluate:NAME.{hint}"
    return None
