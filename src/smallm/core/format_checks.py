"""What a row of core/formats.py is, and a check for each kind of file: what in it is not what its row says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from smallm.core.schemas import Schema, problems

Kind = Literal["json", "jsonl", "parquet", "tokens", "index", "mask", "yaml", "other"]


@dataclass(frozen=True)
class Format:
    """One kind of file: where it lies in a run (globs), what it is, and its schema or columns."""

    name: str
    patterns: tuple[str, ...]
    kind: Kind
    about: str
    schema: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)  # parquet: name -> Arrow type
    more_columns: bool = False


def check(path: Path, kind: Kind, schema: Schema, columns: dict[str, str], more_columns: bool) -> list[str]:
    """Problems of one file, empty when it is right. Raises UserError, OSError or ValueError when it cannot be read."""
    if kind == "parquet":
        return _parquet(path, columns, more_columns)
    return _CHECKS[kind](path, schema)


def _json(path: Path, schema: Schema) -> list[str]:
    return problems(json.loads(path.read_text("utf-8"), parse_constant=_no_constant), schema)


def _jsonl(path: Path, schema: Schema) -> list[str]:
    found = []
    # Not splitlines(): U+2028 inside a string is no line end.
    for i, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if not line and i > 1:
            continue
        try:
            row = json.loads(line, parse_constant=_no_constant)
            found += [f"line {i}: {problem}" for problem in problems(row, schema)]
        except ValueError as error:
            found.append(f"line {i}: not JSON ({error})")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _parquet(path: Path, columns: dict[str, str], more_columns: bool) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except pa.ArrowException as error:
        return [f"not parquet ({error})"]
    have = {name: _arrow(str(schema.field(name).type)) for name in schema.names}
    found = [f"column `{n}` is {have.get(n, 'missing')}, must be {t}" for n, t in columns.items() if have.get(n) != t]
    if not more_columns:
        found += [f"column `{name}` is not known" for name in have if name not in columns]
    return found


def _arrow(kind: str) -> str:
    """An Arrow type as our rows write it: writers differ in offsets' width and in what a list's values are called."""
    return re.sub(r"list<\w+: ([^>]*?)( not null)?>", r"list<\1>", kind.replace("large_", ""))


def _tokens(path: Path, schema: Schema) -> list[str]:
    from smallm.core.tokenfile import open_shard

    open_shard(path.with_suffix(".bin"))
    return []


def _mask(path: Path, schema: Schema) -> list[str]:
    from smallm.core.tokenfile import open_shard

    mask = open_shard(path.with_suffix(".bin"), masked=True).mask
    return [] if mask is None or not len(mask) or int(mask.max()) <= 1 else [f"holds {int(mask.max())}: only 0 and 1"]


def _yaml(path: Path, schema: Schema) -> list[str]:
    from smallm.core.recipe import load_recipe

    load_recipe(path)
    return []


def _other(path: Path, schema: Schema) -> list[str]:
    return [] if path.stat().st_size else ["is empty"]


_CHECKS: dict[str, Callable[[Path, Any], list[str]]] = {
    "json": _json,
    "jsonl": _jsonl,
    "tokens": _tokens,
    "index": _tokens,
    "mask": _mask,
    "yaml": _yaml,
    "other": _other,
}
