"""JSON Schema in words: short constructors, a checker for just these, and their rows in the docs.

The dicts are plain JSON Schema (tests hold the checker equal to the `jsonschema` package on them);
having our own keeps `smallm verify` free of one more dependency.
"""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]


def text(about: str = "", *, pattern: str = "") -> Schema:
    return _described({"type": "string"} | ({"pattern": f"^{pattern}$"} if pattern else {}), about)


def integer(about: str = "") -> Schema:
    """A whole number that is not negative: every count of a run is one."""
    return _described({"type": "integer", "minimum": 0}, about)


def number(about: str = "") -> Schema:
    return _described({"type": "number"}, about)


def boolean(about: str = "") -> Schema:
    return _described({"type": "boolean"}, about)


def anything(about: str = "") -> Schema:
    return _described({}, about)


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def array(items: Schema, about: str = "") -> Schema:
    return _described({"type": "array", "items": items}, about)


def mapping(values: Schema, about: str = "") -> Schema:
    """An object whose keys are data."""
    return _described({"type": "object", "additionalProperties": values}, about)


def maybe(schema: Schema) -> Schema:
    """The schema or null."""
    return _described({"anyOf": [schema, {"type": "null"}]}, schema.get("description", ""))


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, extra: bool = False) -> Schema:
    """An object with these keys; `extra` allows others, of which nothing is promised."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": extra,
    }


def _described(schema: Schema, about: str) -> Schema:
    return schema | {"description": about} if about else schema


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def problems(value: Any, schema: Schema, where: str = "") -> list[str]:
    """Every way in which `value` breaks `schema`, each with its place; empty when it fits."""
    place = f"`{where}` " if where else ""
    if "anyOf" in schema:
        tries = [problems(value, option, where) for option in schema["anyOf"]]
        # The first option is the one meant; the others say null.
        return [] if any(not found for found in tries) else tries[0]
    if "enum" in schema:
        return (
            []
            if value in schema["enum"]
            else [f"{place}is {_short(value)}, must be one of {', '.join(schema['enum'])}"]
        )
    kind = schema.get("type")
    whole = kind == "integer" and isinstance(value, float) and value.is_integer()
    if kind and not whole and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{place}is {_short(value)}, must be of type {kind}"]
    if "pattern" in schema and not re.search(schema["pattern"], str(value)):
        return [f"{place}is {_short(value)}, must match {schema['pattern']}"]
    if "minimum" in schema and value < schema["minimum"]:
        return [f"{place}is {value}, must be at least {schema['minimum']}"]
    found: list[str] = []
    if isinstance(value, list) and kind == "array":
        for i, item in enumerate(value):
            found += problems(item, schema["items"], f"{where}[{i}]")
    if isinstance(value, dict) and kind == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{place}has no `{key}`" for key in schema.get("required", ()) if key not in value]
        for key, item in value.items():
            inner = known.get(key, others)
            if inner is False:
                found.append(f"{place}has the unknown key `{key}`")
            elif isinstance(inner, dict):
                found += problems(item, inner, f"{where}.{key}".lstrip("."))
    return found


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "…"


def rows(schema: Schema, prefix: str = "") -> list[tuple[str, str, str]]:
    """(key, type, meaning) of every key below, for the docs."""
    found: list[tuple[str, str, str]] = []
    if "properties" in schema:
        for key, inner in schema["properties"].items():
            optional = "" if key in schema["required"] else ", optional"
            found.append((prefix + key, type_name(inner) + optional, inner.get("description", "")))
            found += rows(_inside(inner)[0], prefix + key + _inside(inner)[1])
        if schema.get("additionalProperties") is True:
            found.append((prefix + "…", "more keys", "of which nothing is promised"))
    return found


def _inside(schema: Schema) -> tuple[Schema, str]:
    """What an array, a mapping or a nullable holds, and how its path is written."""
    if "anyOf" in schema:
        return _inside(schema["anyOf"][0])
    if schema.get("type") == "array":
        return schema["items"], "[]."
    if isinstance(schema.get("additionalProperties"), dict):
        return schema["additionalProperties"], ".*."
    return schema, "."


def type_name(schema: Schema) -> str:
    """The type as one reads it: `string`, `list of object`, `number or null`."""
    if "anyOf" in schema:
        return " or ".join(type_name(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {type_name(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_name(schema['additionalProperties'])}"
    return kind
