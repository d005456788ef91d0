"""The text of records: one field of each row that data/rows.py reads.

An unreadable record (not JSON, not UTF-8, no text in the field) is counted with its file and line;
more of them than `max_bad_share` of a file stop the run. A field that the first record does not have is
the recipe's mistake: the message names the fields that are there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from smallm.core.errors import UserError
from smallm.data.paths import SourceFile
from smallm.data.rows import read_rows

EXAMPLES = 5
# The share of bad records is judged from here on while reading, and always at a file's end.
EARLY = 10_000
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
    before, seen = bad.count, 0
    for seen, value in enumerate(_values(file, text, bad), start=1):
        if value is not None:
            yield value
        elif seen >= EARLY:
            bad.judge(file, bad.count - before, seen)
    bad.judge(file, bad.count - before, seen)


def _values(file: SourceFile, text: str, bad: BadRecords) -> Iterator[str | None]:
    """The field of each row, or None with the reason counted."""

    def check(fields: Mapping[str, bool]) -> None:
        if not fields.get(text):
            place = f"{file.path}:1" if file.kind == "csv" else str(file.path)
            raise no_field(place, text, {name: "" if is_text else None for name, is_text in fields.items()}, bad.where)

    first = True
    for row in read_rows(file.path, file.kind, columns=[text], on_fields=check):
        if row.fields is None:
            bad.add(file, row.number, row.problem)
            yield None
        else:
            yield record_value(row.fields, text, file, row.number, bad, first)
            first = False


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
