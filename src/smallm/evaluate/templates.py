"""Templates of tasks: Jinja2 as lm-eval has it (sandboxed, strict), a field's name, or one expression.

`question` is the field of that name (`choices.text` goes down into it); `{{label|int - 1}}` alone keeps its type; text
around it makes text. What cannot be filled in is the user's error: the record, the key, and the fields that are there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from smallm.core.errors import UserError
from smallm.evaluate.task_files import Record
from smallm.evaluate.tasks import TaskSpec

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_EXPRESSION = re.compile(r"\{\{((?:(?!\{\{|\}\}|\{%).)*)\}\}", re.DOTALL)
Getter = Callable[[Record], Any]


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, finalize=_no_null
    )
    environment.filters["regex_replace"] = lambda text, pattern, new="", count=0: re.sub(
        pattern, new, text, count=count
    )
    return environment


def _no_null(value: Any) -> Any:
    """What a template writes; jinja alone would write a null as the word None."""
    if value is None:
        raise ValueError("a field in it is null")
    return value


ENVIRONMENT = _environment()


def getter(spec: TaskSpec, key: str, text: Any = None) -> Getter:
    """The function that gives the value of `key` for a record; `text` where the key holds more than one template.

    Raises UserError now for a template that is none, and when called for a field that is not there.
    """
    given = spec.values[key] if text is None else text
    if not isinstance(given, str):  # an index, a label that YAML read as a number
        return lambda record: given
    if text is None and _NAME.fullmatch(given):  # of a list's elements, a bare word is a label
        return _field_getter(spec, key, given)
    expression = _EXPRESSION.fullmatch(given)
    if expression and _NAME.fullmatch(expression[1].strip()):
        return _field_getter(spec, key, expression[1].strip())
    return _compiled(spec, key, given, expression[1].strip(" -\n\t") if expression else None)


def condition(spec: TaskSpec) -> Callable[[Record], bool]:
    """The task's `where`."""
    get = _compiled(spec, "where", spec.values["where"], spec.values["where"])
    return lambda record: bool(get(record))


def as_text(spec: TaskSpec, key: str, record: Record, value: Any) -> str:
    """A value as a template writes it. UserError for what is no text: null, a list, a mapping."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:  # "\ud83d" alone is JSON but no text
                raise UserError(
                    f"{record.where}: task {spec.name}: `{key}` ({spec.where(key)}) holds half of a surrogate pair."
                ) from None
        return value
    if isinstance(value, (bool, int, float)):
        return str(value)
    kind = "null" if value is None else f"a {type(value).__name__}"
    raise UserError(f"{record.where}: task {spec.name}: `{key}` ({spec.where(key)}) is {kind} here, not text.")


def _field_getter(spec: TaskSpec, key: str, name: str) -> Getter:
    path = name.split(".")

    def get(record: Record) -> Any:
        fields = record.fields
        return fields[name] if name in fields else _field(spec, key, record, path)

    return get


def _field(spec: TaskSpec, key: str, record: Record, path: list[str]) -> Any:
    value: Any = record.fields
    for part in path:
        if not isinstance(value, dict) or part not in value:
            raise _missing(spec, key, record, ".".join(path), value)
        value = value[part]
    return value


def _missing(spec: TaskSpec, key: str, record: Record, name: str, inside: Any = None) -> UserError:
    known = [k for k in (inside if isinstance(inside, dict) else record.fields) if not str(k).startswith("_")]
    near = difflib.get_close_matches(name.split(".")[-1], known, 1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return UserError(
        f"{record.where}: task {spec.name}: no field `{name}`, which `{key}` ({spec.where(key)}) names "
        f"(fields: {', '.join(map(str, known)) or 'none'}).{hint}"
    )


def _compiled(spec: TaskSpec, key: str, text: str, expression: str | None) -> Getter:
    try:
        if expression is None:
            render = ENVIRONMENT.from_string(text).render
        else:
            render = ENVIRONMENT.compile_expression(expression, undefined_to_none=False)
    except jinja2.TemplateSyntaxError as error:
        raise spec.error(key, f"`{key}` is not a template: {error.message}.") from None

    def get(record: Record) -> Any:
        try:
            value = render(record.fields)
            if isinstance(value, jinja2.Undefined):
                str(value)  # StrictUndefined raises, with the name
            return value
        except jinja2.UndefinedError as error:
            name = re.match(r"'(\w+)' is undefined", str(error))
            if name:
                raise _missing(spec, key, record, name[1]) from None
            raise UserError(
                f"{record.where}: task {spec.name}: `{key}` ({spec.where(key)}): {error.message}."
            ) from None
        except Exception as error:  # a template may do what it likes with a record's values
            raise UserError(
                f"{record.where}: task {spec.name}: `{key}` ({spec.where(key)}) cannot be filled in: "
                f"{type(error).__name__}: {error}."
            ) from None

    return get
