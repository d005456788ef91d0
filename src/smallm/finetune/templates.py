"""Prompts of the tasks, and the templates that users write: Jinja2, strict, in the sandbox of evaluate/templates.py.

A template sees the record's fields, and under fixed names `input` (what is asked about), `output` (what is learned),
`context` (the passage of a question), `labels` (the classes, a list) and `language` (of the answers, in words). A field
that is not there, a null, a list written as text: each is the user's error, with the record's place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jinja2

from smallm.core.errors import UserError
from smallm.evaluate.templates import ENVIRONMENT

# Task -> language of the answers -> prompt. `*` is for every other language. A passage stands before its question,
# so that a cut of the prompt's beginning (too_long: truncate) keeps the question.
_PASSAGE = "{% if context is defined %}SAY{{context}}\n\nASK{% endif %}{{input}}"
PROMPTS: dict[str, dict[str, str]] = {
    "instruct": {"*": _PASSAGE.replace("SAY", "").replace("ASK", "")},
    "translation": {"*": "Translate into {{language}}.\n\n{{input}}"},
    "qa": {
        "*": _PASSAGE.replace("SAY", "Answer the question from this text.\n\n").replace("ASK", "Question: "),
        "de": _PASSAGE.replace("SAY", "Beantworte die Frage aus diesem Text.\n\n").replace("ASK", "Frage: "),
    },
    "classification": {
        "*": "Classify this text as one of: {{labels|join(', ')}}.\n\n{{input}}",
        "de": "Ordne diesen Text einer Klasse zu: {{labels|join(', ')}}.\n\n{{input}}",
    },
}
WHOLE = "{{input}}"  # of a field that holds the whole prompt
# Of the record's own fields (Dolly calls the input `context`); both are often there and empty.
ALPACA = "{{instruction}}" + "".join(
    f"{{% if {name} is defined and {name} %}}\n\n{{{{{name}}}}}{{% endif %}}" for name in ("input", "context")
)
ANSWER = "{{output}}"
LANGUAGES = {
    "bg": "Bulgarian", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "fi": "Finnish", "fr": "French", "hu": "Hungarian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sv": "Swedish",
    "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
_CODE_OF = {name.lower(): code for code, name in LANGUAGES.items()}


def task_prompt(task: str, language: str) -> str:
    """The default template of a task in the language of its answers."""
    prompts = PROMPTS[task]
    return prompts.get(language, prompts["*"])


def language_name(code: str) -> str:
    """`de` -> German; what is no code of the table is taken as a name."""
    return LANGUAGES.get(code, code)


def language_of_field(field: str) -> str | None:
    """The code of the language that a column is named after (`german`, `de`, `translation.de`), or None."""
    word = field.rsplit(".", 1)[-1].lower()
    return word if word in LANGUAGES else _CODE_OF.get(word)


_PART = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class Template:
    """One template of a recipe: `key` is where it was written, for messages."""

    def __init__(self, text: str, key: str) -> None:
        self.text, self.key = text, key
        try:
            self._render = _STRICT.from_string(text).render
        except jinja2.TemplateSyntaxError as error:
            said = (error.message or "").rstrip(".")
            raise UserError(
                f"{key}: `{text[:60]}` is not a template: {said}. Fields are written {{{{field}}}}."
            ) from None

    @cached_property
    def single(self) -> Template | None:
        """Its one `{{…}}` alone, where it has one and no statement: what is asked about, without the words around."""
        parts = _PART.findall(self.text)
        return Template(parts[0], self.key) if len(parts) == 1 and "{%" not in self.text else None

    @cached_property
    def names(self) -> set[str]:
        """The names that it asks for."""
        from jinja2 import meta

        return meta.find_undeclared_variables(_STRICT.parse(self.text))

    def __call__(self, values: Mapping[str, Any], place: str, record: Mapping[str, Any] | None = None) -> str:
        """The text for one record. UserError (naming the fields of `record`) for one that is not there or no text."""
        try:
            return self._render(values)
        except jinja2.UndefinedError as error:
            name = re.match(r"'(\w+)' is undefined", str(error))
            if name:
                raise UserError(
                    missing(name[1], values if record is None else record, place, f", which `{self.key}` names")
                ) from None
            raise UserError(f"{place}: `{self.key}`: {error.message}.") from None
        except Exception as error:  # a template may do what it likes with a record's values
            raise UserError(f"{place}: `{self.key}` cannot be filled in: {error}.") from None


def missing(name: str, fields: Mapping[str, Any], place: str, why: str) -> str:
    """The message for a field that is not there: what is, and which is meant perhaps."""
    known = [str(k) for k in fields]
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"{place}: no field `{name}`{why} (fields: {', '.join(known[:12]) or 'none'}).{hint}"


def _plain(value: Any) -> Any:
    """What a template may write: Jinja alone would write a null as `None` and a list as Python does."""
    if isinstance(value, (str, int, float, jinja2.Undefined)):
        return value
    if value is None:
        raise ValueError("a field in it is null")
    raise ValueError(f"a {type(value).__name__} in it is no text; take one of its parts, or join them")


_STRICT = ENVIRONMENT.overlay(finalize=_plain)
