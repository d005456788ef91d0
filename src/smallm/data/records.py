"""The text of records: JSON lines, JSON arrays, CSV and parquet, one field of each.

An unreadable record (not JSON, not UTF-8, no text in the field) is counted with its file and line;
more of them than `max_bad_share` of a file stop the run. A field that the first record does not have is
the recipe's mistake: the message names the fields that are there.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from smallm.core.errors import UserError
from smallm.data.paths import SourceFile, ending
from smallm.data.streams import lines, open_bytes, readable, refuse_utf16, text_chunks

EXAMPLES = 5
# The share of bad records is judged from here on while reading, and always at a file's end.
EARLY = 10_000
MAX_JSON = 1 << 30
MAX_FIELD = 1 << 28
PARQUET_ROWS = 256
USUAL_FIELDS = ("text", "content", "body", "story", "document", "article", "sentence")


@dataclass
class BadRecords:
    """Unreadable records of one source: counted, the first few kept as `file:line: why`."""

    max_share: float
    where: str = "data.sources[0]"
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, file: SourceFile, line: int, why: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{file.path}:{line}: {why}")

    def judge(self, file: SourceFile, bad: int, seen: int) -> None:
        """Raise UserError when `bad` of `seen` records of this file are too many."""
        if seen and bad > self.max_share * seen:
            shown = "\n  ".join(e for e in self.examples if e.startswith(f"{file.path}:"))
            raise UserError(
                f"{file.path}: {bad} of {seen} records are unreadable ({bad / seen:.1%}; data.max_bad_share allows "
                f"{self.max_share:.1%}).\n  {shown}\nRepair the file, or raise data.max_bad_share."
            )


def record_texts(file: SourceFile, text: str, bad: BadRecords) -> Iterator[str]:
    """The texts of the field `text` of one file, unreadable records counted in `bad`."""
    reader = {"jsonl": _jsonl, "json": _json, "csv": _csv, "parquet": _parquet}[file.kind]
    before, seen = bad.count, 0
    for seen, value in enumerate(reader(file, text, bad), start=1):
        if value is not None:
            yield value
        elif seen >= EARLY:
            bad.judge(file, bad.count - before, seen)
    bad.judge(file, bad.count - before, seen)


def _jsonl(file: SourceFile, text: str, bad: BadRecords) -> Iterator[str | None]:
    offset, first = 0, True
    for number, line in enumerate(lines(file.path), start=1):
        offset += len(line)
        if line.isspace() or not line:
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            at = offset - len(line) + error.start
            bad.add(file, number, f"byte {at} (0x{line[error.start]:02x}) is not UTF-8")
            yield None
        except (ValueError, RecursionError) as error:
            bad.add(file, number, f"not JSON ({error})")
            yield None
        else:
            yield record_value(record, text, file, number, bad, first)
            first = False


def _json(file: SourceFile, text: str, bad: BadRecords) -> Iterator[str | None]:
    """An array of records, one record, or JSON lines under the ending .json."""
    with readable(file.path), open_bytes(file.path) as stream:
        start = stream.read(64)
        refuse_utf16(file.path, start)
        whole = start + stream.read(MAX_JSON)
    if len(whole) > MAX_JSON:
        if start.lstrip()[:1] == b"[":
            raise UserError(f"{file.path}: a JSON array of over 1 GB. Write it as JSON lines (one record a line).")
        yield from _jsonl(file, text, bad)
        return
    try:
        value = json.loads(whole.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        yield from _jsonl(file, text, bad)
        return
    records = value if isinstance(value, list) else [value]
    for number, record in enumerate(records, start=1):
        yield record_value(record, text, file, number, bad, number == 1)


def record_value(record: Any, text: str, file: SourceFile, line: int, bad: BadRecords, first: bool) -> str | None:
    """The record's text, or None with the reason counted."""
    if not isinstance(record, dict):
        bad.add(file, line, f"a JSON {type(record).__name__}, not an object")
        return None
    if text not in record:
        if first:
            raise no_field(f"{file.path}:{line}", text, record, bad.where)
        bad.add(file, line, f"no field `{text}` (fields: {', '.join(list(record)[:8])})")
        return None
    value = record[text]
    if not isinstance(value, str):
        if first and value is not None:
            raise no_field(f"{file.path}:{line}", text, record, bad.where)
        bad.add(file, line, f"field `{text}` is {type(value).__name__}, not text")
        return None
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:  # "\ud83d" alone is JSON but not Unicode text
            bad.add(file, line, f"field `{text}` holds half of a surrogate pair")
            return None
    return value


def no_field(place: str, text: str, record: dict[str, Any], where: str) -> UserError:
    """The message for a field that is not there, or not text: what is, and how to name it."""
    texts = [k for k, v in record.items() if isinstance(v, str)]
    near = difflib.get_close_matches(text, texts, n=1)
    near = near or [k for k in USUAL_FIELDS if k in texts][:1] or sorted(texts, key=lambda k: -len(record[k]))[:1]
    remedy = f"Name it with `{where}.text: {near[0]}`." if near else "None of them holds text."
    what = f"field `{text}` is {type(record[text]).__name__}, not text" if text in record else f"no field `{text}`"
    return UserError(f"{place}: {what} (fields: {', '.join(map(str, record)) or 'none'}). {remedy}")


def _csv(file: SourceFile, text: str, bad: BadRecords) -> Iterator[str | None]:
    """CSV with a header line; the delimiter is the one of `, ; tab` that the header has most of."""
    csv.field_size_limit(MAX_FIELD)
    with readable(file.path), open_bytes(file.path) as raw:
        stream = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            header_line = stream.readline()
            if not header_line:
                return
            if "\0" in header_line:
                raise UserError(f"{file.path}: a binary file, not CSV (NUL bytes). Remove it from the source.")
            delimiter = "\t" if ending(file.path) == ".tsv" else max(",;\t", key=header_line.count)
            header = next(csv.reader([header_line], delimiter=delimiter))
            if text not in header:
                raise no_field(f"{file.path}:1", text, {name: "" for name in header}, bad.where)
            column = header.index(text)
            rows = csv.reader(stream, delimiter=delimiter)
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    bad.add(file, rows.line_num + 1, f"{len(row)} fields where the header has {len(header)}")
                    yield None
                else:
                    yield row[column]
        except UnicodeDecodeError:
            for _ in text_chunks(file.path):  # raises with the exact byte offset
                pass
            raise
        except csv.Error as error:
            raise UserError(f"{file.path}: not CSV: {error}. Is a quote left open?") from None


def _parquet(file: SourceFile, text: str, bad: BadRecords) -> Iterator[str | None]:
    import pyarrow
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file.path) as table:
            schema = table.schema_arrow
            fields = {f.name: "" if _is_text(f.type) else None for f in schema}
            if fields.get(text) is None:
                raise no_field(str(file.path), text, fields, bad.where)
            row = 0
            for batch in table.iter_batches(batch_size=PARQUET_ROWS, columns=[text]):
                for value in batch.column(0):
                    row += 1
                    try:
                        string = value.as_py()
                    except UnicodeDecodeError:
                        string = None
                    if string is None:
                        bad.add(file, row, f"field `{text}` is null or not UTF-8")
                    yield string
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{file.path}: not a readable parquet file ({error}).") from None


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
