"""Records of one file as dicts: JSON lines, JSON, CSV, parquet, and texts that are parallel line by line.

Every record counts in an evaluation: the first that cannot be read stops it, with file and line.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallm.core.errors import UserError
from smallm.data.paths import KINDS, ending
from smallm.data.records import MAX_FIELD, PARQUET_ROWS
from smallm.data.streams import lines, open_bytes, readable, refuse_utf16, text_chunks


@dataclass(frozen=True)
class Record:
    """One record: its fields, and where it stands (`file:line`)."""

    fields: dict[str, Any]
    where: str


def read_file(path: Path) -> Iterator[Record]:
    """The records of one file; a text file is one record with the field `text`."""
    kind = KINDS.get(ending(path), "text")
    if kind == "jsonl":
        yield from _jsonl(path)
    elif kind == "json":
        yield from _json(path)
    elif kind == "csv":
        yield from _csv(path)
    elif kind == "parquet":
        yield from _parquet(path)
    else:
        yield Record({"text": "".join(text_chunks(path))}, str(path))


def _jsonl(path: Path) -> Iterator[Record]:
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(
                f"{where}: byte {error.start} of the line (0x{line[error.start]:02x}) is not UTF-8. Convert the file."
            ) from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not JSON ({error}). Each line is one JSON object.") from None
        yield _record(value, where)


def _record(value: Any, where: str) -> Record:
    if not isinstance(value, dict):
        raise UserError(f"{where}: a JSON {type(value).__name__}, not an object with fields.")
    return Record(value, where)


def _json(path: Path) -> Iterator[Record]:
    """An array of objects, one object, or JSON lines under the ending .json."""
    with readable(path), open_bytes(path) as stream:
        raw = stream.read()
    refuse_utf16(path, raw[:2])
    try:
        value = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # UnicodeDecodeError is one; JSON lines are read, or refused, by line
        yield from _jsonl(path)
        return
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield _record(record, f"{path}: record {number}")


def _csv(path: Path) -> Iterator[Record]:
    """CSV with a header; the delimiter is the one of `, ; tab` that the header has most of (a tab for .tsv)."""
    csv.field_size_limit(MAX_FIELD)
    with readable(path), open_bytes(path) as raw:
        stream = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            first = stream.readline()
            if not first:
                return
            delimiter = "\t" if ending(path) == ".tsv" else max(",;\t", key=first.count)
            header = next(csv.reader([first], delimiter=delimiter))
            rows = csv.reader(stream, delimiter=delimiter)
            begins = 2
            for row in rows:
                where, begins = f"{path}:{begins}", rows.line_num + 2
                if not row:
                    continue
                if len(row) != len(header):
                    raise UserError(f"{where}: {len(row)} fields where the header has {len(header)}.")
                yield Record(dict(zip(header, row, strict=True)), where)
        except UnicodeDecodeError:
            for _ in text_chunks(path):  # raises with the exact byte offset
                pass
            raise
        except csv.Error as error:
            raise UserError(f"{path}: not CSV: {error}. Is a quote left open?") from None


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            row = 0
            for batch in table.iter_batches(batch_size=PARQUET_ROWS):
                for fields in batch.to_pylist():
                    row += 1
                    yield Record(fields, f"{path}: row {row}")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable parquet file ({error}).") from None


def parallel(found: dict[str, list[Path]]) -> Iterator[Record]:
    """Line by line from one text file a field; files of different lengths are refused."""
    columns = {field: _text_lines(paths) for field, paths in found.items()}
    first = next(iter(found.values()))[0]
    number = 0
    while True:
        number += 1
        row = {field: next(column, None) for field, column in columns.items()}
        if all(value is None for value in row.values()):
            return
        for field, value in row.items():
            if value is None:
                longer = next(f for f, v in row.items() if v is not None)
                raise UserError(
                    f"{found[field][0]}: ends after {number - 1} lines, but {found[longer][0]} goes on. Parallel texts "
                    "have a sentence a line, the same number in each file."
                )
        yield Record(dict(row), f"{first}:{number}")


def _text_lines(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        rest = ""
        for chunk in text_chunks(path):
            *whole, rest = (rest + chunk).split("\n")
            yield from whole
        if rest:
            yield rest
