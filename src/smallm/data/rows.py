"""The records of a file as they stand there, with their lines: JSON lines, JSON, CSV, TSV, parquet, also compressed.

The one reader of records: pretraining takes one field of each (data/records.py), evaluation and fine-tuning whole
records (evaluate/task_files.py, finetune/sources.py). A record that cannot be read is a Row with its `problem`; whether
that counts or stops is the caller's to say. A file that is none (cut, binary, not UTF-8 as a whole) is a UserError.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from smallm.core.errors import UserError
from smallm.data.paths import KINDS, ending
from smallm.data.streams import lines, open_bytes, readable, refuse_utf16, text_chunks

MAX_JSON = 1 << 30
MAX_FIELD = 1 << 28
PARQUET_ROWS = 256
Unit = Literal["line", "record", "row"]
# Given the names of the fields as soon as the file says them (CSV, parquet): name -> whether it holds text.
OnFields = Callable[[Mapping[str, bool]], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its fields (None when it cannot be read; then `problem` says why) and where it stands."""

    fields: dict[str, Any] | None
    number: int
    unit: Unit
    problem: str = ""

    def place(self, path: Path | str) -> str:
        """`data/x.jsonl:12`, `data/x.json: record 3`, `data/x.parquet: row 3`."""
        return f"{path}:{self.number}" if self.unit == "line" else f"{path}: {self.unit} {self.number}"


def read_rows(
    path: Path, kind: str | None = None, *, columns: Sequence[str] | None = None, on_fields: OnFields | None = None
) -> Iterator[Row]:
    """The rows of one file in its order; `kind` as in data/paths.py (default: by the ending).

    `columns` spares parquet the others (the rest of the formats give all). `on_fields` is called before the first
    row of a file that names its fields once. UserError when the file as a whole cannot be read.
    """
    kind = kind or KINDS.get(ending(path), "")
    if kind == "jsonl":
        return _jsonl(path)
    if kind == "json":
        return _json(path)
    if kind == "csv":
        return _csv(path, on_fields)
    if kind == "parquet":
        return _parquet(path, columns, on_fields)
    raise UserError(f"{path}: not a file of records. Records are read from .jsonl, .json, .csv, .tsv and .parquet.")


def _jsonl(path: Path) -> Iterator[Row]:
    offset = 0
    for number, line in enumerate(lines(path), start=1):
        offset += len(line)
        if line.isspace() or not line:
            continue
        try:
            value = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            at = offset - len(line) + error.start
            yield Row(None, number, "line", f"byte {at} (0x{line[error.start]:02x}) is not UTF-8")
        except (ValueError, RecursionError) as error:
            yield Row(None, number, "line", f"not JSON ({error})")
        else:
            yield _of_json(value, number, "line")


def _of_json(value: Any, number: int, unit: Unit) -> Row:
    if isinstance(value, dict):
        return Row(value, number, unit)
    return Row(None, number, unit, f"a JSON {type(value).__name__}, not an object")


def _json(path: Path) -> Iterator[Row]:
    """An array of records, one record, or JSON lines under the ending .json."""
    with readable(path), open_bytes(path) as stream:
        start = stream.read(64)
        refuse_utf16(path, start)
        whole = start + stream.read(MAX_JSON)
    if len(whole) > MAX_JSON:
        if start.lstrip()[:1] == b"[":
            raise UserError(f"{path}: a JSON array of over 1 GB. Write it as JSON lines (one record a line).")
        yield from _jsonl(path)
        return
    try:
        value = json.loads(whole.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # UnicodeDecodeError is one; JSON lines are read, or refused, by line
        yield from _jsonl(path)
        return
    for number, record in enumerate(value if isinstance(value, list) else [value], start=1):
        yield _of_json(record, number, "record")


def _csv(path: Path, on_fields: OnFields | None) -> Iterator[Row]:
    """CSV with a header line; the delimiter is the one of `, ; tab` that the header has most of (a tab for .tsv)."""
    csv.field_size_limit(MAX_FIELD)
    with readable(path), open_bytes(path) as raw:
        stream = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            first = stream.readline()
            if not first:
                return
            if "\0" in first:
                raise UserError(f"{path}: a binary file, not CSV (NUL bytes). Remove it from the source.")
            delimiter = "\t" if ending(path) == ".tsv" else max(",;\t", key=first.count)
            header = next(csv.reader([first], delimiter=delimiter))
            if twice := sorted({name for name in header if header.count(name) > 1}):
                raise UserError(f"{path}:1: the header names {', '.join(map(repr, twice))} twice. Rename one of them.")
            if on_fields is not None:
                on_fields(dict.fromkeys(header, True))
            rows, begins = csv.reader(stream, delimiter=delimiter, strict=True), 2
            for row in rows:
                number, begins = begins, rows.line_num + 2
                if not row:
                    continue
                if len(row) != len(header):
                    yield Row(None, number, "line", f"{len(row)} fields where the header has {len(header)}")
                else:
                    yield Row(dict(zip(header, row, strict=True)), number, "line")
        except UnicodeDecodeError:
            for _ in text_chunks(path):  # raises with the exact byte offset
                pass
            raise
        except csv.Error as error:
            raise UserError(f"{path}: not CSV: {error}. Is a quote left open?") from None


def _parquet(path: Path, columns: Sequence[str] | None, on_fields: OnFields | None) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            if on_fields is not None:
                on_fields({f.name: _is_text(f.type) for f in table.schema_arrow})
            number = 0
            for batch in table.iter_batches(batch_size=PARQUET_ROWS, columns=list(columns) if columns else None):
                for row in _of_batch(batch):
                    number += 1
                    yield Row(row, number, "row", "" if row is not None else "a text in it is not UTF-8")
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable parquet file ({error}).") from None


def _of_batch(batch: Any) -> Iterator[dict[str, Any] | None]:
    """The rows of a batch; None for one with a text that is not UTF-8, the others as they are."""
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for i in range(batch.num_rows):
        try:
            yield batch.slice(i, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield None


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
