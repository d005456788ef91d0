"""The pydantic schema of a recipe, built from the dataclass tables of `core/config.py`.

One source of truth: a key's type, default, bounds and help stand there once. Unknown keys are
forbidden, types are strict (a number in quotes is not a number), sizes read `5M`, `1.7B`, `20MB`.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from smallm.core.config import Recipe, SourceConfig, TuneSource

_SIZE = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*(k|K|M|B|G|T|[kKMGT]B|[KMGT]iB)?")
_POWER = {"k": 1, "M": 2, "G": 3, "B": 3, "T": 4}
KINDS = ("path", "hub", "synth", "builtin")


def read_size(value: Any) -> Any:
    """`5M` -> 5_000_000, `20MB`, `1.7B`, `2KiB`; whole numbers pass. Raises ValueError for other text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 5e6
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError("must be a number like 4096, 5M, 1.7B or 20MB")
    suffix = match[2] or ""
    power = _POWER[suffix[0].replace("K", "k")] if suffix else 0
    number = Decimal(match[1].replace("_", "")) * (1024 if "i" in suffix else 1000) ** power
    if number != number.to_integral_value():
        raise ValueError("is not a whole number")
    return int(number)


def exactly_one_kind(source: Any) -> Any:
    """A source says where its text comes from exactly once."""
    kinds = [k for k in KINDS if getattr(source, k) is not None]
    if len(kinds) != 1:
        has = " and ".join(f"`{k}`" for k in kinds) or "none of them"
        raise ValueError(f"needs exactly one of `path`, `hub`, `synth`, `builtin`, and has {has}")
    return source


def one_set_of_examples(source: Any) -> Any:
    """A set of examples says where it comes from: a generator, or a file, the Hub, or a file else the Hub."""
    if source.synth is not None and (source.path is not None or source.hub is not None):
        raise ValueError("has `synth` and something beside it; a generator stands alone")
    if source.synth is None and source.path is None and source.hub is None:
        raise ValueError("needs one of `path`, `hub`, `synth`, and has none of them")
    return source


_CHECKS: dict[type, Any] = {SourceConfig: exactly_one_kind, TuneSource: one_set_of_examples}


@functools.cache
def model_of(cls: type) -> type[BaseModel]:
    """The pydantic model of a configuration dataclass."""
    hints = typing.get_type_hints(cls)
    fields: dict[str, Any] = {}
    for f in dataclasses.fields(cls):
        meta = f.metadata
        extra: list[Any] = [BeforeValidator(read_size, json_schema_input_type=int | str)] if meta.get("size") else []
        default = (
            Field(default_factory=_default_factory(f)) if f.default is dataclasses.MISSING else Field(default=f.default)
        )
        info = Field(description=meta.get("help") or None, **meta.get("bounds", {}))
        annotation: Any = _translated(hints[f.name])
        for item in (info, *extra):
            annotation = Annotated[annotation, item]
        fields[f.name] = (annotation, default)
    validators: Any = {"check": model_validator(mode="after")(_CHECKS[cls])} if cls in _CHECKS else None
    return create_model(
        cls.__name__,
        __config__=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()),
        __doc__=(cls.__doc__ or "").strip(),
        __validators__=validators,
        **fields,  # pyright: ignore[reportCallIssue]
    )


def _default_factory(f: dataclasses.Field) -> Any:
    hint_is_section = dataclasses.is_dataclass(f.default_factory)
    return model_of(f.default_factory) if hint_is_section else f.default_factory  # type: ignore[arg-type]


def _translated(hint: Any) -> Any:
    """The type with every configuration dataclass in it replaced by its model."""
    if dataclasses.is_dataclass(hint):
        return model_of(hint)  # type: ignore[arg-type]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(lambda a, b: a | b, (_translated(a) for a in args))
    return list[_translated(args[0])] if origin is list else hint  # type: ignore[misc]


def to_dataclass(cls: type, model: BaseModel) -> Any:
    """The frozen dataclass of a validated model, sections and lists of them included."""
    values = {}
    hints = typing.get_type_hints(cls)
    for f in dataclasses.fields(cls):
        value, hint = getattr(model, f.name), hints[f.name]
        if dataclasses.is_dataclass(hint):
            value = to_dataclass(hint, value)  # type: ignore[arg-type]
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            value = [to_dataclass(typing.get_args(hint)[0], v) for v in value]
        values[f.name] = value
    return cls(**values)


def keys_of(cls: type = Recipe, prefix: str = "") -> dict[str, dataclasses.Field]:
    """Every dotted key of a recipe, sections included, to its field: `train.learning_rate`, `data.sources[].path`."""
    found: dict[str, dataclasses.Field] = {}
    hints = typing.get_type_hints(cls)
    for f in dataclasses.fields(cls):
        name, hint = prefix + f.name, hints[f.name]
        found[name] = f
        if dataclasses.is_dataclass(hint):
            found |= keys_of(hint, name + ".")  # type: ignore[arg-type]
        elif typing.get_origin(hint) is list and dataclasses.is_dataclass(typing.get_args(hint)[0]):
            found |= keys_of(typing.get_args(hint)[0], name + "[].")
    return found


def json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe file, for editors (`extends` and sources as strings included)."""
    schema = model_of(Recipe).model_json_schema()
    schema["properties"] = {
        "extends": {"type": "string", "description": "build on this recipe: a packaged name or a file"},
        **schema["properties"],
    }
    for section, key in (("DataConfig", "sources"), ("FinetuneConfig", "data")):
        sources = schema["$defs"][section]["properties"][key]
        sources["items"] = {"anyOf": [{"type": "string"}, sources["items"]]}
    return schema
